/** Every person of a set against every other one: the scores that a calibration is made of. */
import type { Calibration } from "../embedding/calibration.ts";
import { cosineOf, normalised } from "../lib/vector.ts";
import { calibrationOf, RULE_OF, ScoreHistogram } from "./score-table.ts";

/** Side of a {@link Portrait.thumbnail}, px. */
export const THUMBNAIL_PX = 28;
/** Half a side of the square whose mean a pixel loses: what is left is detail, not light. */
const BLUR_PX = 2;
/** Pixels of the thumbnail's rim that count for nothing: borders differ between copies. */
const RIM_PX = 3;
/**
 * Correlation of details from which two pictures are one photograph. Of 7 million pairs of FairFace val none
 * of two people reaches 0.86.
 */
const SAME_PHOTOGRAPH = 0.9;

/** One picture of one person. */
export interface Portrait {
  readonly vector: Float32Array;
  /** The aligned crop, grey, 28×28, by area. */
  readonly thumbnail: Uint8Array;
  /** People are compared within their set: pictures of two origins differ in more than the person. */
  readonly set: string;
  readonly groups: readonly string[];
}

export interface CrossScores {
  readonly impostor: ScoreHistogram;
  /** Scores of pairs within each group. */
  readonly byGroup: ReadonlyMap<string, ScoreHistogram>;
  /** Pairs of the same photograph under two names, left out. */
  readonly nearDuplicates: number;
}

/** @param onRow is told how many people have been compared with all others */
export function crossScores(
  people: readonly Portrait[],
  onRow: (done: number) => void = () => undefined,
): CrossScores {
  const impostor = new ScoreHistogram();
  const byGroup = new Map<string, ScoreHistogram>();
  for (const group of people.flatMap(({ groups }) => groups)) {
    if (!byGroup.has(group)) byGroup.set(group, new ScoreHistogram());
  }
  const details = people.map(({ thumbnail }) => detailOf(thumbnail));
  let nearDuplicates = 0;
  for (const [index, person] of people.entries()) {
    for (let next = index + 1; next < people.length; next += 1) {
      const other = people[next] as Portrait;
      if (other.set !== person.set) continue;
      if (isSamePhotograph(details[index] as Float32Array, details[next] as Float32Array)) {
        nearDuplicates += 1;
        continue;
      }
      const score = cosineOf(person.vector, other.vector);
      impostor.add(score);
      for (const group of person.groups)
        if (other.groups.includes(group)) byGroup.get(group)?.add(score);
    }
    onRow(index + 1);
  }
  return { impostor, byGroup, nearDuplicates };
}

/** By the pixels alone: a score cannot tell a copy from the false match that is to be counted. */
export function isSamePhotograph(a: Float32Array, b: Float32Array): boolean {
  return cosineOf(a, b) >= SAME_PHOTOGRAPH;
}

/** A thumbnail less its slow changes, at length 1; all zero where there is no detail. */
export function detailOf(thumbnail: Uint8Array): Float32Array {
  const side = THUMBNAIL_PX - 2 * RIM_PX;
  const detail = new Float32Array(side * side);
  for (let y = 0; y < side; y += 1) {
    for (let x = 0; x < side; x += 1) {
      const [row, column] = [y + RIM_PX, x + RIM_PX];
      let sum = 0;
      for (let dy = -BLUR_PX; dy <= BLUR_PX; dy += 1)
        for (let dx = -BLUR_PX; dx <= BLUR_PX; dx += 1)
          sum += thumbnail[(row + dy) * THUMBNAIL_PX + column + dx] as number;
      const own = thumbnail[row * THUMBNAIL_PX + column] as number;
      detail[y * side + x] = own - sum / (2 * BLUR_PX + 1) ** 2;
    }
  }
  const mean = detail.reduce((total, value) => total + value, 0) / detail.length;
  return normalised(detail.map((value) => value - mean)) ?? new Float32Array(side * side);
}

/**
 * The table for a pack, with its groups, the worst first.
 *
 * @param set the people in words
 * @param genuine scores of the same person, for FNMR; left out when empty
 * @returns undefined when there are too few pairs
 */
export function crossCalibration(
  set: string,
  { impostor, byGroup, nearDuplicates }: CrossScores,
  genuine: ScoreHistogram,
): Calibration | undefined {
  const table = calibrationOf(set, impostor, genuine);
  if (table === undefined) return undefined;
  const groups = groupsOf(table, byGroup);
  return {
    ...table,
    smallestFmr: RULE_OF / impostor.total,
    nearDuplicates,
    ...(groups.length === 0 ? {} : { groups }),
  };
}

/** All at one threshold: the strictest at which each group would show 30 false matches if all were alike. */
function groupsOf(
  { points }: Calibration,
  byGroup: ReadonlyMap<string, ScoreHistogram>,
): NonNullable<Calibration["groups"]> {
  const filled = [...byGroup].filter(([, { total }]) => total > 0);
  const fewest = Math.min(...filled.map(([, { total }]) => total));
  const at = points.findLast(({ fmr }) => fmr * fewest >= RULE_OF) ?? points[0];
  if (at === undefined) return [];
  return filled
    .map(([group, scores]) => {
      const fmr = scores.shareFrom(at.cosine);
      const supported = Math.round(fmr * scores.total) >= RULE_OF;
      return { group, pairs: scores.total, fmr, cosine: at.cosine, supported };
    })
    .toSorted((a, b) => b.fmr - a.fmr);
}
