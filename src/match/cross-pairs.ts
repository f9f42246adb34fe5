/** Every person of a set against every other one: the scores that a calibration is made of. */
import type { Calibration } from "../embedding/calibration.ts";
import { cosineOf } from "../lib/vector.ts";
import { calibrationOf, RULE_OF, ScoreHistogram } from "./score-table.ts";

/** Side of a {@link Portrait.thumbnail}, px. */
export const THUMBNAIL_PX = 28;
/** Below this no two pictures are looked at more closely, whatever the embedder. */
const SUSPECT_COSINE = 0.6;
/** Mean difference in grey levels below which two thumbnails are one photograph. */
const SAME_PHOTOGRAPH = 10;

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
  let nearDuplicates = 0;
  for (const [index, person] of people.entries()) {
    for (let next = index + 1; next < people.length; next += 1) {
      const other = people[next] as Portrait;
      if (other.set !== person.set) continue;
      const score = cosineOf(person.vector, other.vector);
      if (score > SUSPECT_COSINE && isSamePhotograph(person.thumbnail, other.thumbnail)) {
        nearDuplicates += 1;
        continue;
      }
      impostor.add(score);
      for (const group of person.groups)
        if (other.groups.includes(group)) byGroup.get(group)?.add(score);
    }
    onRow(index + 1);
  }
  return { impostor, byGroup, nearDuplicates };
}

/** By the pixels alone: a score cannot tell a copy from the false match that is to be counted. */
export function isSamePhotograph(a: Uint8Array, b: Uint8Array): boolean {
  const most = SAME_PHOTOGRAPH * a.length;
  let sum = 0;
  for (let pixel = 0; pixel < a.length && sum < most; pixel += 1)
    sum += Math.abs((a[pixel] as number) - (b[pixel] as number));
  return a.length > 0 && sum < most;
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
