/**
 * What main and vision say to each other: one versioned schema. Main validates what vision says as it
 * would validate the network; sizes are bounded here. Carried by Node's IPC channel ("advanced"
 * serialisation), so typed arrays travel as they are.
 */
import { z } from "zod";
import { QUALITY_REASONS } from "../face/face.ts";
import type { CameraId, EpochMs, MonotonicMs } from "../lib/brand.ts";
import { CameraIdSchema, PackIdSchema, SpaceIdSchema, TrackIdSchema } from "../lib/id.ts";

export const IPC_VERSION = 2;

const finite = z.number();
const bytes = (maxBytes: number) =>
  z
    .instanceof(Uint8Array)
    .refine((value) => value.byteLength <= maxBytes, `at most ${maxBytes} bytes`);
const floats = z
  .instanceof(Float32Array)
  .refine((value) => value.length <= 4096, "at most 4096 values");
const point = z.strictObject({ x: finite, y: finite });
const requestId = z.int().nonnegative();

export const FaceMessage = z.strictObject({
  box: z.strictObject({ x: finite, y: finite, width: finite, height: finite }),
  landmarks: z.tuple([point, point, point, point, point]),
  score: z.number().min(0).max(1),
});

export const QualityMessage = z.strictObject({
  measures: z.strictObject({
    eyeDistancePx: finite,
    sizePx: finite,
    sharpness: finite,
    brightness: finite,
    yaw: finite,
    pitch: finite,
    rollDegrees: finite,
    insideShare: finite,
  }),
  /** Empty when the face is usable. */
  reasons: z.array(z.enum(QUALITY_REASONS)).max(QUALITY_REASONS.length),
});
export type QualityMessage = z.infer<typeof QualityMessage>;

/** About 1.6× the face box, ≥ 160 px a side where the frame has it; PNG, with its own landmarks. */
export const SourceCrop = z.strictObject({
  png: bytes(4 * 1024 * 1024),
  landmarks: FaceMessage.shape.landmarks,
});
export type SourceCrop = z.infer<typeof SourceCrop>;

/** One face of one frame, with its track, quality and, when it was embedded, its unit vector. */
export const Observation = z.strictObject({
  trackId: TrackIdSchema,
  face: FaceMessage,
  quality: QualityMessage,
  embedding: floats.optional(),
  /** Present only while the camera collects for an enrolment, and only with an embedding. */
  sourceCrop: SourceCrop.optional(),
});
export type Observation = z.infer<typeof Observation>;

const capturedAt = z.strictObject({
  monotonicMs: finite.transform((value) => value as MonotonicMs),
  epochMs: finite.transform((value) => value as EpochMs),
});

/** One frame that was looked at: its faces, and the tracks that ended with it. */
export const ObserveMessage = z.strictObject({
  kind: z.literal("observe"),
  cameraId: CameraIdSchema,
  spaceId: SpaceIdSchema,
  sequence: z.int().nonnegative(),
  capturedAt,
  widthPx: z.int().positive(),
  heightPx: z.int().positive(),
  observations: z.array(Observation).max(64),
  endedTracks: z.array(TrackIdSchema).max(256),
  /** Faces for which the embedder gave no finite vector; absent when there are none. */
  failures: z.int().positive().max(64).optional(),
  timings: z.strictObject({ detectMs: finite, embedMs: finite, totalMs: finite }),
});
export type ObserveMessage = z.infer<typeof ObserveMessage>;

/** Sent every second per camera: the evidence that frames still flow, and how. */
export const CameraHealthMessage = z.strictObject({
  kind: z.literal("camera-health"),
  cameraId: CameraIdSchema,
  framesReceived: z.int().nonnegative(),
  framesDropped: z.int().nonnegative(),
  framesProcessed: z.int().nonnegative(),
  /** Frames that were torn and skipped until the stream made sense again. */
  resyncs: z.int().nonnegative(),
  lastFrameAt: capturedAt.optional(),
  /** Age of the newest processed frame when its processing began, ms. */
  ageMs: finite.optional(),
  /** How far arrival has drifted behind presentation time since the stream began, ms. */
  driftMs: finite,
  /** How long the picture has been byte-for-byte the same, ms (0 when it changes). */
  frozenMs: finite,
  fps: finite,
});
export type CameraHealthMessage = z.infer<typeof CameraHealthMessage>;

/** The frame stream's own header, once per decoder: a later vision process needs it to go on mid-stream. */
export const StreamHeaderMessage = z.strictObject({
  kind: z.literal("stream-header"),
  cameraId: CameraIdSchema,
  /** Opaque to main: the stream's origin in time, then `NutReader.headerBytes`. */
  bytes: bytes(64 * 1024),
});
export type StreamHeaderMessage = z.infer<typeof StreamHeaderMessage>;

/** A face of a frame that two packs look at. Embedded when it is usable, by the probe's limits. */
export const ShadowFace = z.strictObject({
  box: FaceMessage.shape.box,
  reasons: QualityMessage.shape.reasons,
  embedding: floats.optional(),
});
export type ShadowFace = z.infer<typeof ShadowFace>;

/** What one pack saw in such a frame. */
export const ShadowLook = z.strictObject({
  spaceId: SpaceIdSchema,
  faces: z.array(ShadowFace).max(64),
  /** Time of the whole face step, ms. */
  totalMs: finite,
});
export type ShadowLook = z.infer<typeof ShadowLook>;

/** Main passes the pixels on and does not look at them. */
const SampledFrame = z.strictObject({
  cameraId: CameraIdSchema,
  widthPx: z.int().positive().max(3840),
  heightPx: z.int().positive().max(3840),
  /** NV12. */
  pixels: bytes((3840 * 2160 * 3) / 2),
});
export type SampledFrame = z.infer<typeof SampledFrame>;

/** One of the frames that the serving process looked at, for a candidate. Sent only while main asks for them. */
export const SampleMessage = z.strictObject({
  kind: z.literal("sample"),
  frame: SampledFrame,
  look: ShadowLook,
  /** Frames that were not sampled because they had waited too long, since the sampling began. */
  shed: z.int().nonnegative(),
});
export type SampleMessage = z.infer<typeof SampleMessage>;

/** The golden vectors of the loaded pack, run again. */
export const SelfTestResult = z.strictObject({
  /** Least cosine over vectors and runs; absent when a run gave no finite vector. */
  goldenCosine: finite.optional(),
  /** Every run of one crop gave the same bytes. */
  isRepeatable: z.boolean(),
  /** 95th percentile of one embedder run, ms. */
  p95Ms: finite,
  rssBytes: z.int().nonnegative(),
});
export type SelfTestResult = z.infer<typeof SelfTestResult>;

const AnalysedFace = z.strictObject({
  face: FaceMessage,
  quality: QualityMessage,
  embedding: floats.optional(),
  sourceCrop: SourceCrop.optional(),
});
export type AnalysedFace = z.infer<typeof AnalysedFace>;

export const ImageAnalysis = z.strictObject({
  widthPx: z.int().positive(),
  heightPx: z.int().positive(),
  spaceId: SpaceIdSchema,
  faces: z.array(AnalysedFace).max(64),
});
export type ImageAnalysis = z.infer<typeof ImageAnalysis>;

export const Provider = z.enum(["tensorrt", "cuda", "cpu"]);
export type Provider = z.infer<typeof Provider>;

export const PackLoaded = z.strictObject({
  packId: PackIdSchema,
  spaceId: SpaceIdSchema,
  provider: Provider,
  /** Providers that were tried before and why they are not used. */
  refused: z.array(z.strictObject({ provider: Provider, reason: z.string().max(500) })).max(3),
});
export type PackLoaded = z.infer<typeof PackLoaded>;

const failure = z.strictObject({ code: z.string().max(64), message: z.string().max(1000) });

/** Answers carry the id of the request they answer; exactly one of `data`, `error`. */
const answer = <Kind extends string, Data extends z.ZodType>(kind: Kind, data: Data) =>
  z.strictObject({
    kind: z.literal(kind),
    requestId,
    result: z.union([z.strictObject({ data }), z.strictObject({ error: failure })]),
  });

export const FromVision = z.discriminatedUnion("kind", [
  ObserveMessage,
  CameraHealthMessage,
  StreamHeaderMessage,
  SampleMessage,
  answer("load-pack", PackLoaded),
  answer("self-test", SelfTestResult),
  answer("shadow", ShadowLook),
  answer("analyse-image", ImageAnalysis),
  answer(
    "embed-crops",
    z.strictObject({ spaceId: SpaceIdSchema, embeddings: z.array(floats).max(64) }),
  ),
  answer("snapshot", z.strictObject({ jpeg: bytes(4 * 1024 * 1024), capturedAt })),
  answer(
    "ping",
    z.strictObject({
      version: z.literal(IPC_VERSION),
      rssBytes: z.int().nonnegative(),
      progress: z.int().nonnegative(),
    }),
  ),
]);
export type FromVision = z.infer<typeof FromVision>;

export interface AttachMessage {
  readonly kind: "attach";
  readonly cameraId: CameraId;
  /** What an earlier vision process reported of this stream (`stream-header`); absent for a new decoder. */
  readonly header?: Uint8Array | undefined;
  /** The largest sides that the decoder was told to send: bounds the reader's buffers. */
  readonly widthPx?: number | undefined;
  readonly heightPx?: number | undefined;
}

/** From now on some frames are sent as {@link SampleMessage}s; without a rate, none. */
export interface SampleRequest {
  readonly kind: "sample";
  readonly rate?: SampleRate | undefined;
}

export interface SampleRate {
  /** Least time between two samples of one camera, ms. */
  readonly everyMs: number;
  /** A frame that waited longer for its turn is shed. */
  readonly frameAgeMaxMs: number;
}

/** Requests to vision. `attach` carries the decoder's frame socket as the IPC handle. */
export type ToVision =
  | {
      readonly kind: "load-pack";
      readonly requestId: number;
      readonly directory: string;
      readonly options: VisionOptions;
    }
  | AttachMessage
  | { readonly kind: "detach"; readonly cameraId: CameraId }
  | { readonly kind: "collect"; readonly cameraId: CameraId; readonly active: boolean }
  /** Look at frames from now on. Until then they are drained, and the newest waits. */
  | { readonly kind: "look" }
  | SampleRequest
  | {
      readonly kind: "analyse-image";
      readonly requestId: number;
      readonly image: Uint8Array;
      readonly maxFaces: number;
    }
  | {
      readonly kind: "embed-crops";
      readonly requestId: number;
      readonly crops: readonly SourceCrop[];
    }
  | { readonly kind: "snapshot"; readonly requestId: number; readonly cameraId: CameraId }
  | { readonly kind: "ping"; readonly requestId: number }
  /** @param runs how often each golden crop is embedded */
  | { readonly kind: "self-test"; readonly requestId: number; readonly runs: number }
  | { readonly kind: "shadow"; readonly requestId: number; readonly frame: SampledFrame };

const limits = (what: string) =>
  z.strictObject({
    eyeDistanceMinPx: z
      .number()
      .min(0)
      .meta({ description: `${what}: least distance between the eyes, px` }),
    sharpnessMin: z
      .number()
      .min(0)
      .meta({ description: `${what}: least variance of the Laplacian on the aligned crop` }),
    brightnessMin: z.number().min(0).max(255),
    brightnessMax: z.number().min(0).max(255),
    yawMax: z.number().min(0).max(1).meta({ description: "0 frontal, 1 profile" }),
    pitchMax: z.number().min(0).max(1),
    insideShareMin: z
      .number()
      .min(0)
      .max(1)
      .meta({ description: "share of the box inside the frame" }),
  });
export type QualityLimits = z.infer<ReturnType<typeof limits>>;

/** Options of the vision process: part of the configuration file, sent with `load-pack`. */
export const VisionOptions = z.strictObject({
  providers: z
    .array(Provider)
    .min(1)
    .default(["tensorrt", "cuda", "cpu"])
    .meta({ description: "tried in this order" }),
  requireProvider: Provider.optional().meta({
    description: "refuse to start on any other; without it a fallback is a degraded state",
  }),
  threads: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .meta({ description: "threads of one model run; 0 = cores − 1, but both of two cores" }),
  detectorSizePx: z
    .int()
    .min(160)
    .max(1920)
    .default(640)
    .meta({ description: "longer side of the detector's input, multiple of 32" }),
  embeddingsPerSecond: z
    .number()
    .positive()
    .max(1000)
    .default(30)
    .meta({ description: "total over all cameras, shared fairly" }),
  quorumFrames: z.int().min(1).max(50).default(3).meta({
    description: "every usable frame is embedded until this many were; then only better shots",
  }),
  refreshMs: z
    .int()
    .min(100)
    .default(400)
    .meta({ description: "after the quorum, a track is embedded again at least this often" }),
  trackLostMs: z
    .int()
    .min(100)
    .default(1500)
    .meta({ description: "a track ends when its face was not seen for this long" }),
  frameAgeMaxMs: z.int().min(50).default(500).meta({ description: "older frames are dropped" }),
  /** Hands over cosine gate: a track whose face stops looking like itself is split. */
  trackCosineMin: z.number().min(-1).max(1).default(0.3),
  probe: limits("probe").default({
    eyeDistanceMinPx: 18,
    sharpnessMin: 30,
    brightnessMin: 40,
    brightnessMax: 225,
    yawMax: 0.6,
    pitchMax: 0.6,
    insideShareMin: 0.85,
  }),
  enrolment: limits("enrolment").default({
    eyeDistanceMinPx: 30,
    sharpnessMin: 60,
    brightnessMin: 50,
    brightnessMax: 215,
    yawMax: 0.35,
    pitchMax: 0.4,
    insideShareMin: 0.98,
  }),
});
export type VisionOptions = z.infer<typeof VisionOptions>;
