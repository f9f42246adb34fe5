/** Builders for decision tests: people, rules, looked-at frames, a gallery and a ledger in memory. */
import type { Decision } from "../../src/decision/decision.ts";
import type { DecisionLedger } from "../../src/decision/ledger.ts";
import { DecisionOptions } from "../../src/decision/options.ts";
import { AccessRules } from "../../src/decision/rules.ts";
import type { QualityMeasures, QualityReason } from "../../src/face/face.ts";
import type { Identity } from "../../src/gallery/identity.ts";
import type { Candidate, Gallery } from "../../src/gallery/index-port.ts";
import {
  type CameraId,
  type Cosine,
  type DoorId,
  epochMs,
  type IdentityId,
  monotonicMs,
  type SpaceId,
  type TemplateId,
  type TrackId,
} from "../../src/lib/brand.ts";
import { cosineOf } from "../../src/lib/vector.ts";
import type { Match } from "../../src/match/match.ts";
import type { Observation, ObserveMessage } from "../../src/observation/messages.ts";

export const SPACE = "space-1" as SpaceId;
export const CAMERA = "cam-1" as CameraId;
export const DOOR = "front" as DoorId;
export const ANNA = "anna" as IdentityId;
export const BEN = "ben" as IdentityId;

export const decisionOptions: DecisionOptions = DecisionOptions.parse({});

export const GOOD: QualityMeasures = {
  eyeDistancePx: 60,
  sizePx: 140,
  sharpness: 200,
  brightness: 120,
  yaw: 0,
  pitch: 0,
  rollDegrees: 0,
  insideShare: 1,
};

export function person(id: IdentityId, fields: Partial<Identity> = {}): Identity {
  const at = epochMs(0);
  return {
    id,
    displayName: `${id}`,
    groups: ["staff"],
    enabled: true,
    metadata: {},
    createdAt: at,
    updatedAt: at,
    ...fields,
  };
}

/** Staff may pass the front door at any time. */
export function openRules(): AccessRules {
  return AccessRules.parse({
    groups: ["staff", "guests"],
    doors: [{ id: DOOR, cameras: [CAMERA], allow: { staff: ["always"] } }],
  });
}

export function matched(identityId: IdentityId, cosine = 0.8, threshold = 0.5): Match {
  return { kind: "identity", identityId, cosine: cosine as Cosine, threshold: threshold as Cosine };
}

export const UNKNOWN: Match = { kind: "unknown", reason: "below_threshold", cosine: 0.1 as Cosine };

/** A unit vector in the plane of axes 0 and `axis`; its cosine to axis 0 is given. */
export function unit(
  axis: number,
  cosineToFirst = axis === 0 ? 1 : 0,
  dimension = 8,
): Float32Array<ArrayBuffer> {
  const vector = new Float32Array(dimension);
  vector[axis] = Math.sqrt(1 - cosineToFirst ** 2);
  vector[0] = cosineToFirst;
  return vector;
}

export class MemoryGallery implements Gallery {
  readonly spaceId = SPACE;
  readonly dimension = 8;
  readonly templates: { readonly identityId: IdentityId; readonly vector: Float32Array }[] = [];
  /** Searches wait for this. */
  ready: Promise<void> = Promise.resolve();
  searches = 0;

  get templateCount(): number {
    return this.templates.length;
  }

  get identityCount(): number {
    return new Set(this.templates.map(({ identityId }) => identityId)).size;
  }

  readonly search = async (vector: Float32Array, k: number): Promise<readonly Candidate[]> => {
    this.searches += 1;
    await this.ready;
    return this.templates
      .map(({ identityId, vector: stored }, index) => ({
        identityId,
        templateId: `t${index}` as TemplateId,
        cosine: cosineOf(vector, stored),
      }))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, k);
  };
}

export class MemoryLedger implements DecisionLedger {
  readonly identities = new Map<IdentityId, Identity>();
  readonly recorded: Decision[] = [];
  broken = false;

  readonly recordDecision: DecisionLedger["recordDecision"] = (identityId, decide) => {
    if (this.broken) throw new Error("disk full");
    const decision = decide(identityId === undefined ? undefined : this.identities.get(identityId));
    this.recorded.push(decision);
    return { decision, seq: this.recorded.length };
  };
}

export interface Seen {
  readonly track?: string;
  readonly embedding?: Float32Array<ArrayBuffer>;
  readonly reasons?: readonly QualityReason[];
}

export function observation({ track = "t1", embedding, reasons = [] }: Seen): Observation {
  const point = { x: 0, y: 0 };
  return {
    trackId: track as TrackId,
    face: {
      box: { x: 0, y: 0, width: 100, height: 140 },
      landmarks: [point, point, point, point, point],
      score: 0.9,
    },
    quality: { measures: { ...GOOD }, reasons: [...reasons] },
    ...(embedding !== undefined && { embedding }),
  };
}

export function looked(
  atMs: number,
  seen: readonly Seen[],
  ended: readonly string[] = [],
  cameraId = CAMERA,
): ObserveMessage {
  return {
    kind: "observe",
    cameraId,
    spaceId: SPACE,
    sequence: 0,
    capturedAt: { monotonicMs: monotonicMs(atMs), epochMs: epochMs(atMs) },
    widthPx: 1280,
    heightPx: 720,
    observations: seen.map(observation),
    endedTracks: ended.map((track) => track as TrackId),
    timings: { detectMs: 1, embedMs: 1, totalMs: 2 },
  };
}
