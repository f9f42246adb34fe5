/** Which face continues which track: overlap with where motion says the track is now. */
import type { Box } from "../frame/frame.ts";
import { centre, overlap } from "../frame/geometry.ts";

export interface Pairing {
  readonly track: number;
  readonly face: number;
  /** IoU of the predicted box and the face's. */
  readonly overlap: number;
}

const OVERLAP_MIN = 0.2;
/** Without overlap (few frames a second, fast walk): centres this near, in box widths, and sizes alike. */
const DISTANCE_MAX = 0.9;
const SIZE_RATIO_MAX = 1.6;

/**
 * Greedy: the pair that overlaps most first; each track and each face at most once.
 *
 * @param predicted boxes of the tracks, moved to now
 */
export function associate(predicted: readonly Box[], faces: readonly Box[]): readonly Pairing[] {
  const candidates: (Pairing & { readonly rank: number })[] = [];
  predicted.forEach((box, track) => {
    faces.forEach((face, index) => {
      const shared = overlap(box, face);
      const near = nearness(box, face);
      if (shared < OVERLAP_MIN && near === undefined) return;
      // Every overlapping pair ranks before every merely near one.
      const rank = shared >= OVERLAP_MIN ? 1 + shared : (near ?? 0);
      candidates.push({ track, face: index, overlap: shared, rank });
    });
  });
  candidates.sort((a, b) => b.rank - a.rank);
  const tracks = new Set<number>();
  const taken = new Set<number>();
  const pairs: Pairing[] = [];
  for (const { track, face, overlap: shared } of candidates) {
    if (tracks.has(track) || taken.has(face)) continue;
    tracks.add(track);
    taken.add(face);
    pairs.push({ track, face, overlap: shared });
  }
  return pairs;
}

/** In (0, 1], 1 for the same centre; undefined when too far or too different in size. */
function nearness(a: Box, b: Box): number | undefined {
  const [p, q] = [centre(a), centre(b)];
  const size = (a.width + b.width) / 2;
  const ratio = Math.max(a.width / b.width, b.width / a.width);
  const distance = Math.hypot(p.x - q.x, p.y - q.y) / size;
  return distance <= DISTANCE_MAX && ratio <= SIZE_RATIO_MAX
    ? 1 - distance / (DISTANCE_MAX * 1.001)
    : undefined;
}
