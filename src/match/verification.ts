/** How well scores tell the same person from different people: the LFW protocol and rates at fixed FAR. */

export interface ScoredPair {
  readonly fold: number;
  readonly same: boolean;
  /** Cosine; undefined when a picture of the pair gave no embedding (failure to acquire). */
  readonly score: number | undefined;
}

export interface Spread {
  readonly mean: number;
  /** Population standard deviation over the folds, as published LFW results state it. */
  readonly std: number;
}

export interface TarAtFar {
  readonly far: number;
  readonly tar: number;
  /** A score strictly above it is accepted. */
  readonly threshold: number;
  readonly falseAccepts: number;
  /** Rule of 30: false only says that fewer than 30/FAR different pairs were compared, so the figure is loose. */
  readonly supported: boolean;
}

export interface VerificationReport {
  readonly pairs: { readonly same: number; readonly different: number };
  readonly failedPairs: { readonly same: number; readonly different: number };
  readonly accuracy: Spread;
  readonly folds: readonly {
    readonly fold: number;
    readonly threshold: number;
    readonly accuracy: number;
  }[];
  readonly tarAtFar: readonly TarAtFar[];
}

/** What a pair scores when a picture of it gave no embedding: it is never accepted, as at a door. */
export const FAILED_SCORE = -2;

interface Labelled {
  readonly same: boolean;
  readonly score: number;
}

/**
 * The threshold that classifies most pairs rightly; a score above it means "same". Among equally good ones
 * the lowest, taken in the middle of its gap.
 */
export function bestThreshold(pairs: readonly Labelled[]): {
  readonly threshold: number;
  readonly accuracy: number;
} {
  const sorted = pairs.toSorted((a, b) => a.score - b.score);
  let right = sorted.reduce((count, pair) => count + (pair.same ? 1 : 0), 0);
  let best = { right, threshold: (sorted[0]?.score ?? 0) - 1 };
  for (let i = 0; i < sorted.length; i += 1) {
    const pair = sorted[i] as Labelled;
    right += pair.same ? -1 : 1;
    const above = sorted[i + 1]?.score;
    if (above === pair.score) continue;
    if (right > best.right)
      best = { right, threshold: above === undefined ? pair.score : (pair.score + above) / 2 };
  }
  return {
    threshold: best.threshold,
    accuracy: pairs.length === 0 ? 0 : best.right / pairs.length,
  };
}

/** Share of pairs that a threshold classifies rightly. */
export function accuracyAt(pairs: readonly Labelled[], threshold: number): number {
  const right = pairs.filter((pair) => pair.score > threshold === pair.same).length;
  return pairs.length === 0 ? 0 : right / pairs.length;
}

/** Share of same-person scores accepted at the lowest threshold whose false accepts stay within `far`. */
export function tarAtFar(
  same: readonly number[],
  different: readonly number[],
  far: number,
): TarAtFar {
  const falling = different.toSorted((a, b) => b - a);
  const allowed = Math.floor(far * different.length + 1e-9);
  const threshold = falling[allowed] ?? FAILED_SCORE;
  const accepted = same.filter((score) => score > threshold).length;
  return {
    far,
    tar: same.length === 0 ? 0 : accepted / same.length,
    threshold,
    falseAccepts: falling.filter((score) => score > threshold).length,
    supported: different.length * far >= 30,
  };
}

function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const variance =
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length);
  return { mean, std: Math.sqrt(variance) };
}

/**
 * The k-fold protocol: each fold is classified by the threshold that is best on the others. Pairs without a
 * score count as "different" ({@link FAILED_SCORE}): a same-person pair among them is an error.
 *
 * @see http://vis-www.cs.umass.edu/lfw/ Huang et al., "Labeled Faces in the Wild", view 2
 */
export function verificationReport(
  pairs: readonly ScoredPair[],
  fars: readonly number[],
): VerificationReport {
  const scored = pairs.map((pair) => ({ ...pair, score: pair.score ?? FAILED_SCORE }));
  const folds = [...new Set(pairs.map((pair) => pair.fold))]
    .sort((a, b) => a - b)
    .map((fold) => {
      const training = scored.filter((pair) => pair.fold !== fold);
      const { threshold } = bestThreshold(training.length > 0 ? training : scored);
      return {
        fold,
        threshold,
        accuracy: accuracyAt(
          scored.filter((pair) => pair.fold === fold),
          threshold,
        ),
      };
    });
  const scores = (same: boolean) =>
    scored.filter((pair) => pair.same === same).map((pair) => pair.score);
  const failed = (same: boolean) =>
    pairs.filter((pair) => pair.same === same && pair.score === undefined).length;
  const [same, different] = [scores(true), scores(false)];
  return {
    pairs: { same: same.length, different: different.length },
    failedPairs: { same: failed(true), different: failed(false) },
    accuracy: spreadOf(folds.map((fold) => fold.accuracy)),
    folds,
    tarAtFar: fars.map((far) => tarAtFar(same, different, far)),
  };
}

/** Two pictures to compare, by person and number. */
export interface PicturePair {
  readonly fold: number;
  readonly same: boolean;
  readonly first: { readonly name: string; readonly number: number };
  readonly second: { readonly name: string; readonly number: number };
}

/**
 * Reads the LFW list: a head line `folds pairs` (or only `pairs`: one fold), then per fold that many
 * same-person lines `name n1 n2` and as many different-person lines `name1 n1 name2 n2`.
 *
 * @returns the pairs, or in words why the text is not such a list
 */
export function parsePairs(text: string): readonly PicturePair[] | string {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const head = (lines[0] ?? "").trim().split(/\s+/).map(Number);
  const perFold = head.at(-1) ?? Number.NaN;
  if (head.length > 2 || !head.every((value) => Number.isInteger(value) && value > 0)) {
    return "line 1 must be `folds pairs` or `pairs`";
  }
  const pairs: PicturePair[] = [];
  for (const [index, line] of lines.slice(1).entries()) {
    const pair = parsePair(line.trim().split(/\s+/), Math.floor(index / (2 * perFold)));
    if (pair === undefined)
      return `line ${index + 2} must be \`name n1 n2\` or \`name1 n1 name2 n2\``;
    pairs.push(pair);
  }
  const expected = perFold * 2 * (head.length === 2 ? (head[0] as number) : 1);
  return pairs.length === expected
    ? pairs
    : `it announces ${expected} pairs and holds ${pairs.length}`;
}

function parsePair(words: readonly string[], fold: number): PicturePair | undefined {
  const [a, n1, b, n2] = words;
  if (a === undefined || n1 === undefined || b === undefined || words.length > 4) return undefined;
  const same = n2 === undefined;
  const numbers = [Number(n1), Number(same ? b : n2)] as const;
  if (!numbers.every((value) => Number.isInteger(value) && value > 0)) return undefined;
  return {
    fold,
    same,
    first: { name: a, number: numbers[0] },
    second: { name: same ? a : b, number: numbers[1] },
  };
}
