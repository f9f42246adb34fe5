/** The first half of the appliance on one screen: a frame becomes observations. */
import type { Face, QualityMeasures, QualityReason } from "./face/face.ts";
import { shotScore } from "./face/quality.ts";
import type { Frame } from "./frame/frame.ts";
import type { SpaceId, TrackId } from "./lib/brand.ts";
import type { Observation, ObserveMessage, SourceCrop } from "./observation/messages.ts";
import { type ShotRules, shotReason } from "./track/best-shot.ts";
import { remember, step, type Tracks } from "./track/step.ts";

/** What one aligned face is worth. */
export interface Shot<Crop> {
  readonly crop: Crop;
  readonly measures: QualityMeasures;
  /** Empty when usable. */
  readonly reasons: readonly QualityReason[];
  /** Good enough to be enrolled. */
  readonly isEnrollable: boolean;
}

/** One stage per field, in the order a frame meets them. What is asynchronous runs a model. */
export interface Stages<Crop> {
  readonly detect: (frame: Frame) => Promise<readonly Face[]>;
  readonly align: (frame: Frame, face: Face) => Shot<Crop> | undefined;
  /** Whether the budget allows one more embedding for this camera now. */
  readonly mayEmbed: (frame: Frame) => boolean;
  /** With better landmarks, or the face as it is; undefined when it is not found again. */
  readonly lookAgain: (frame: Frame, face: Face) => Promise<Face | undefined>;
  readonly embed: (crop: Crop) => Promise<Float32Array<ArrayBuffer> | undefined>;
  readonly sourceCrop: (frame: Frame, face: Face) => SourceCrop | undefined;
  /** Milliseconds, for timings. */
  readonly nowMs: () => number;
}

export interface SeeOptions extends ShotRules {
  readonly spaceId: SpaceId;
  readonly trackLostMs: number;
  readonly trackCosineMin: number;
  /** An enrolment collects at this camera: every enrollable shot is embedded and handed over. */
  readonly isCollecting: boolean;
}

export interface Seen {
  readonly tracks: Tracks;
  readonly message: ObserveMessage;
}

interface Sight<Crop> {
  face: Face;
  shot: Shot<Crop>;
  score: number;
  trackId: TrackId;
  embedding?: Float32Array<ArrayBuffer>;
  sourceCrop?: SourceCrop;
}

export async function see<Crop>(
  frame: Frame,
  before: Tracks,
  options: SeeOptions,
  stages: Stages<Crop>,
): Promise<Seen> {
  const startedMs = stages.nowMs();
  const faces = await stages.detect(frame);
  const detectedMs = stages.nowMs();
  const sights = sightsOf(frame, faces, stages);
  const stepped = step(
    before,
    sights.map(({ face }) => face),
    frame.capturedAt,
    options.trackLostMs,
  );
  sights.forEach((sight, index) => {
    sight.trackId = stepped.ofFaces[index] as TrackId;
  });
  let tracks = stepped.tracks;
  let failures = 0;
  const ended = [...stepped.ended];
  const embedStartedMs = stages.nowMs();
  for (const sight of worthEmbedding(frame, sights, tracks, options)) {
    if (!stages.mayEmbed(frame)) break;
    await realign(frame, sight, stages);
    if (sight.shot.reasons.length > 0) continue;
    const vector = await stages.embed(sight.shot.crop);
    if (vector === undefined) {
      failures += 1;
      continue;
    }
    const noted = remember(
      tracks,
      sight.trackId,
      vector,
      sight.score,
      frame.capturedAt.monotonicMs,
      options.trackCosineMin,
    );
    tracks = noted.tracks;
    if (noted.ended !== undefined) ended.push(noted.ended);
    sight.trackId = noted.id;
    sight.embedding = vector;
    const crop =
      options.isCollecting && sight.shot.isEnrollable
        ? stages.sourceCrop(frame, sight.face)
        : undefined;
    if (crop !== undefined) sight.sourceCrop = crop;
  }
  const endedMs = stages.nowMs();
  const timings = {
    detectMs: detectedMs - startedMs,
    embedMs: endedMs - embedStartedMs,
    totalMs: endedMs - startedMs,
  };
  const message = messageOf(frame, sights, ended, options, timings);
  return { tracks, message: failures === 0 ? message : { ...message, failures } };
}

function sightsOf<Crop>(frame: Frame, faces: readonly Face[], stages: Stages<Crop>): Sight<Crop>[] {
  return faces.flatMap((face) => {
    const shot = stages.align(frame, face);
    return shot === undefined
      ? []
      : [{ face, shot, score: shotScore(shot.measures), trackId: "" as TrackId }];
  });
}

/** By the landmarks of a second look, which only faces that are to be embedded are worth. */
async function realign<Crop>(
  frame: Frame,
  sight: Sight<Crop>,
  stages: Stages<Crop>,
): Promise<void> {
  const face = await stages.lookAgain(frame, sight.face);
  if (face === sight.face) return;
  const shot = face === undefined ? undefined : stages.align(frame, face);
  if (face === undefined || shot === undefined) {
    sight.shot = { ...sight.shot, reasons: ["landmarks"], isEnrollable: false };
    return;
  }
  sight.face = face;
  sight.shot = shot;
  sight.score = shotScore(shot.measures);
}

/** The shots to embed, the most pressing first: when the budget ends, the least useful ones go without. */
function worthEmbedding<Crop>(
  frame: Frame,
  sights: readonly Sight<Crop>[],
  tracks: Tracks,
  options: SeeOptions,
): readonly Sight<Crop>[] {
  const atMs = frame.capturedAt.monotonicMs;
  const ranked = sights.flatMap((sight) => {
    const track = tracks.live.find(({ id }) => id === sight.trackId);
    if (track === undefined || sight.shot.reasons.length > 0) return [];
    const wanted =
      shotReason(track, sight.score, atMs, options) !== undefined ||
      (options.isCollecting && sight.shot.isEnrollable);
    return wanted ? [{ sight, embedded: track.embedded }] : [];
  });
  return ranked
    .toSorted((a, b) => a.embedded - b.embedded || b.sight.score - a.sight.score)
    .map(({ sight }) => sight);
}

function messageOf<Crop>(
  frame: Frame,
  sights: readonly Sight<Crop>[],
  ended: readonly TrackId[],
  options: SeeOptions,
  timings: ObserveMessage["timings"],
): ObserveMessage {
  return {
    kind: "observe",
    cameraId: frame.cameraId,
    spaceId: options.spaceId,
    sequence: frame.sequence,
    capturedAt: frame.capturedAt,
    widthPx: frame.widthPx,
    heightPx: frame.heightPx,
    observations: sights.map(observationOf),
    endedTracks: [...ended],
    timings,
  };
}

function observationOf<Crop>({
  face,
  shot,
  trackId,
  embedding,
  sourceCrop,
}: Sight<Crop>): Observation {
  return {
    trackId,
    face: { ...face, landmarks: [...face.landmarks] },
    quality: { measures: shot.measures, reasons: [...shot.reasons] },
    ...(embedding === undefined ? {} : { embedding }),
    ...(sourceCrop === undefined ? {} : { sourceCrop }),
  };
}
