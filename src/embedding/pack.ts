/** `pack.json`: everything about a detector and an embedder that the daemon must know to run them. */
import { z } from "zod";
import { PackIdSchema, SpaceIdSchema } from "../lib/id.ts";
import { Calibration } from "./calibration.ts";

const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be a sha256 in lower-case hex");
const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "must be a plain file name");

export const PackFile = z.strictObject({
  name: fileName,
  sha256,
  bytes: z
    .int()
    .positive()
    .max(512 * 1024 * 1024),
});

/** How pixels become the model's input: NCHW float32 = (x − mean) / std per channel, x in [0, 255]. */
const Preprocessing = z.strictObject({
  widthPx: z.int().min(16).max(4096),
  heightPx: z.int().min(16).max(4096),
  channelOrder: z.enum(["rgb", "bgr"]),
  mean: z.tuple([z.number(), z.number(), z.number()]),
  std: z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]),
});

export const DetectorSpec = z.strictObject({
  file: fileName,
  layout: z
    .literal("yunet")
    .meta({ description: "12 outputs cls/obj/bbox/kps at strides 8, 16, 32" }),
  input: z.string().min(1),
  /** Largest input; the frame is scaled to fit and padded to a multiple of 32. */
  preprocessing: Preprocessing,
  scoreMin: z.number().min(0).max(1).default(0.7),
  overlapMax: z.number().min(0).max(1).default(0.3),
  landmarks: z.enum(["best", "blended", "two-looks"]).default("best").meta({
    description:
      "of a face's best cell alone; blended from all its cells, which jitters less; or blended, and before a face is aligned averaged with those of a second, mirrored look at it alone, without which it is not used",
  }),
});
export type DetectorSpec = z.infer<typeof DetectorSpec>;

export const EmbedderSpec = z.strictObject({
  file: fileName,
  input: z.string().min(1),
  output: z.string().min(1),
  /** The aligned crop (112×112, ArcFace template) is resized to this size when it differs. */
  preprocessing: Preprocessing,
  align: z.literal("arcface-112"),
  dimension: z.int().min(16).max(4096),
  spaceId: SpaceIdSchema.meta({
    description: "names model + preprocessing; templates of different spaces never meet",
  }),
});
export type EmbedderSpec = z.infer<typeof EmbedderSpec>;

/** One golden vector: an 112×112 RGB crop (PNG, base64) and the unit embedding it must give. */
const Golden = z.strictObject({
  cropPng: z.string().max(100_000),
  embedding: z.array(z.number()).min(16).max(4096),
});

export const Pack = z.strictObject({
  schema: z.literal(1),
  id: PackIdSchema,
  releaseCounter: z.int().nonnegative(),
  files: z.array(PackFile).min(1).max(16),
  detector: DetectorSpec,
  embedder: EmbedderSpec,
  calibration: Calibration.optional().meta({
    description:
      "without it no threshold can be derived and every decision is a denial, unless the site sets match.cosineMin",
  }),
  golden: z.strictObject({
    vectors: z.array(Golden).min(1).max(16),
    cosineMin: z.strictObject({ cpu: z.number(), cuda: z.number(), tensorrt: z.number() }),
  }),
  provenance: z.strictObject({
    source: z.string().min(1).max(2000),
    licence: z.string().min(1).max(2000),
    trainingCommit: z.string().optional(),
  }),
  demoOnly: z.boolean().default(false).meta({ description: "good for the demo, not for a door" }),
  minimumRuntime: z.string().default("0.1.0"),
});
export type Pack = z.infer<typeof Pack>;
