/** Tracks from frame to frame: association, constant-velocity motion, and the split by embedding. */

import type { Face } from "../face/face.ts";
import type { Box, CapturedAt } from "../frame/frame.ts";
import { centre } from "../frame/geometry.ts";
import { assert } from "../lib/assert.ts";
import type { TrackId } from "../lib/brand.ts";
import { cosineOf, normalised } from "../lib/vector.ts";
import { associate } from "./associate.ts";
import type { Track } from "./track.ts";

/** What the tracker remembers of one track beyond {@link Track}. */
export interface TrackMemory extends Track {
  /** Of the box's centre, frame px per ms. */
  readonly velocity: { readonly x: number; readonly y: number };
  /** How many of its shots were embedded. */
  readonly embedded: number;
  /** Best shot score that was embedded, and when the last one was. */
  readonly bestScore: number;
  readonly embeddedAtMs: number | undefined;
  /** Sum of its unit embeddings: what the track looks like. */
  readonly look: Float32Array | undefined;
  /** Association was doubtful: embed again before trusting that it is the same person. */
  readonly doubtful: boolean;
}

export interface Tracks {
  /** Makes ids unique over restarts and cameras. */
  readonly prefix: string;
  readonly nextNumber: number;
  readonly live: readonly TrackMemory[];
}

export interface Stepped {
  readonly tracks: Tracks;
  /** The track of each face, in the order of the faces. */
  readonly ofFaces: readonly TrackId[];
  readonly ended: readonly TrackId[];
}

/** More faces than this in one camera are a picture of a crowd, not a door: the oldest unseen tracks end. */
export const LIVE_MAX = 128;
/** Below this overlap it may have become somebody else. */
const DOUBTFUL_OVERLAP = 0.35;
const VELOCITY_WEIGHT = 0.5;
/** Predicting further than this is guessing. */
const PREDICT_MAX_MS = 500;

/** @param prefix letters, digits and dashes; random per start of the process */
export function noTracks(prefix: string): Tracks {
  return { prefix, nextNumber: 1, live: [] };
}

/** @param lostMs a track ends when its face was not seen for this long */
export function step(
  tracks: Tracks,
  faces: readonly Face[],
  at: CapturedAt,
  lostMs: number,
): Stepped {
  const pairs = associate(
    tracks.live.map((track) => predicted(track, at)),
    faces.map(({ box }) => box),
  );
  const live = [...tracks.live];
  const ofFaces: TrackId[] = [];
  for (const pair of pairs) {
    const track = live[pair.track] as TrackMemory;
    live[pair.track] = continued(track, faces[pair.face] as Face, at, pair.overlap);
    ofFaces[pair.face] = track.id;
  }
  let nextNumber = tracks.nextNumber;
  faces.forEach((face, index) => {
    if (ofFaces[index] !== undefined) return;
    const track = begun(idOf(tracks.prefix, nextNumber), face, at);
    nextNumber += 1;
    live.push(track);
    ofFaces[index] = track.id;
  });
  const isLost = (track: TrackMemory): boolean =>
    at.monotonicMs - track.seenAt.monotonicMs >= lostMs;
  const seen = live.filter((track) => !isLost(track));
  const crowded = seen
    .toSorted((a, b) => b.seenAt.monotonicMs - a.seenAt.monotonicMs)
    .slice(LIVE_MAX);
  const kept = crowded.length === 0 ? seen : seen.filter((track) => !crowded.includes(track));
  const ended = [...live.filter(isLost), ...crowded].map(({ id }) => id);
  return { tracks: { ...tracks, nextNumber, live: kept }, ofFaces, ended };
}

export interface Embedded {
  readonly tracks: Tracks;
  /** The same track, or the new one that took over the face. */
  readonly id: TrackId;
  /** The track that ended because its face became somebody else's. */
  readonly ended: TrackId | undefined;
}

/**
 * Takes note of an embedding. A face that stops looking like its track (cosine to the track's mean
 * below `cosineMin`) gets a track of its own, so that nobody inherits another person's evidence.
 */
export function remember(
  tracks: Tracks,
  id: TrackId,
  vector: Float32Array,
  score: number,
  atMs: number,
  cosineMin: number,
): Embedded {
  const index = tracks.live.findIndex((track) => track.id === id);
  const track = tracks.live[index];
  assert(track !== undefined, `no live track ${id}`);
  const mean = track.look === undefined ? undefined : normalised(track.look);
  const isSame =
    mean === undefined || mean.length !== vector.length || cosineOf(mean, vector) >= cosineMin;
  const base = isSame
    ? track
    : {
        ...begun(idOf(tracks.prefix, tracks.nextNumber), track.face, track.seenAt),
        velocity: track.velocity,
      };
  const look = Float32Array.from(vector);
  if (base.look !== undefined)
    for (const [i, value] of base.look.entries()) look[i] = (look[i] as number) + value;
  const next: TrackMemory = {
    ...base,
    embedded: base.embedded + 1,
    bestScore: Math.max(base.bestScore, score),
    embeddedAtMs: atMs,
    look,
    doubtful: false,
  };
  const live = tracks.live.with(index, next);
  if (isSame) return { tracks: { ...tracks, live }, id, ended: undefined };
  return { tracks: { ...tracks, nextNumber: tracks.nextNumber + 1, live }, id: next.id, ended: id };
}

const idOf = (prefix: string, number: number): TrackId => `${prefix}-${number}` as TrackId;

function begun(id: TrackId, face: Face, at: CapturedAt): TrackMemory {
  return {
    id,
    face,
    startedAt: at,
    seenAt: at,
    hits: 1,
    velocity: { x: 0, y: 0 },
    embedded: 0,
    bestScore: 0,
    embeddedAtMs: undefined,
    look: undefined,
    doubtful: false,
  };
}

function continued(track: TrackMemory, face: Face, at: CapturedAt, shared: number): TrackMemory {
  const elapsedMs = at.monotonicMs - track.seenAt.monotonicMs;
  const [from, to] = [centre(track.face.box), centre(face.box)];
  const blend = (old: number, moved: number): number =>
    elapsedMs > 0 ? old * (1 - VELOCITY_WEIGHT) + (moved / elapsedMs) * VELOCITY_WEIGHT : old;
  return {
    ...track,
    face,
    seenAt: at,
    hits: track.hits + 1,
    velocity: {
      x: blend(track.velocity.x, to.x - from.x),
      y: blend(track.velocity.y, to.y - from.y),
    },
    doubtful: track.doubtful || shared < DOUBTFUL_OVERLAP,
  };
}

function predicted(track: TrackMemory, at: CapturedAt): Box {
  const elapsedMs = Math.max(
    0,
    Math.min(PREDICT_MAX_MS, at.monotonicMs - track.seenAt.monotonicMs),
  );
  const { box } = track.face;
  return {
    ...box,
    x: box.x + track.velocity.x * elapsedMs,
    y: box.y + track.velocity.y * elapsedMs,
  };
}
