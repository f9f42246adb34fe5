/** How alike is alike enough, for a gallery of this size. Fails closed: no table, no threshold. */
import type { Calibration } from "../embedding/calibration.ts";
import { type Cosine, cosine } from "../lib/brand.ts";
import type { MatchOptions } from "./options.ts";

export interface ThresholdQuery {
  readonly calibration: Calibration | undefined;
  readonly fpirTarget: number;
  /**
   * Comparisons per search. Count templates, not identities: a stranger is compared with each template,
   * and templates of one person are not so alike that they count once. Erring high only raises the bar.
   */
  readonly gallerySize: number;
  readonly extrapolateDecades: number;
  /** Floor, and the whole answer where the pack is not calibrated. */
  readonly cosineMin?: number | undefined;
}

export type Threshold =
  | {
      readonly kind: "threshold";
      readonly cosine: Cosine;
      /** False match rate per comparison that the target asks for; absent when only the site's floor speaks. */
      readonly fmr?: number;
      /** `extrapolated`: below what the evaluation set supports, on the line through its last two points. */
      readonly source: "table" | "extrapolated" | "floor";
    }
  | { readonly kind: "none"; readonly reason: NoThresholdReason };

export type NoThresholdReason =
  | "not_calibrated"
  | "calibration_not_monotone"
  | "beyond_calibration"
  | "invalid_target";

/** FMR per comparison such that 1 − (1 − fmr)^size = fpir, for independent comparisons. */
export function fmrFor(fpirTarget: number, gallerySize: number): number {
  // 1 − (1 − p)^(1/N) in the form that keeps its digits when p/N is tiny.
  return -Math.expm1(Math.log1p(-fpirTarget) / Math.max(1, gallerySize));
}

export function thresholdFor(query: ThresholdQuery): Threshold {
  const { calibration, fpirTarget, gallerySize, cosineMin } = query;
  if (!(fpirTarget > 0 && fpirTarget < 1) || !(gallerySize >= 0))
    return { kind: "none", reason: "invalid_target" };
  if (calibration === undefined) {
    if (cosineMin === undefined) return { kind: "none", reason: "not_calibrated" };
    return { kind: "threshold", cosine: cosine(cosineMin), source: "floor" };
  }
  if (!isMonotone(calibration)) return { kind: "none", reason: "calibration_not_monotone" };
  const fmr = fmrFor(fpirTarget, gallerySize);
  const found = cosineAt(calibration, fmr, query.extrapolateDecades);
  if (found === undefined) return { kind: "none", reason: "beyond_calibration" };
  const floored = cosineMin === undefined ? found.cosine : Math.max(found.cosine, cosineMin);
  return { kind: "threshold", cosine: cosine(floored), fmr, source: found.source };
}

/** The threshold in force for a gallery, from a site's options. */
export function thresholdOf(
  calibration: Calibration | undefined,
  gallery: { readonly templateCount: number },
  options: MatchOptions,
): Threshold {
  return thresholdFor({
    calibration,
    fpirTarget: options.fpirTarget,
    gallerySize: gallery.templateCount,
    extrapolateDecades: options.extrapolateDecades,
    cosineMin: options.cosineMin,
  });
}

function isMonotone({ points }: Calibration): boolean {
  return points.every((point, index) => {
    const previous = points[index - 1];
    return previous === undefined || (point.cosine > previous.cosine && point.fmr < previous.fmr);
  });
}

/** Cosine at a false match rate: straight lines in log FMR between the points, the last one followed a bounded way. */
function cosineAt(
  { points }: Calibration,
  fmr: number,
  extrapolateDecades: number,
): { readonly cosine: number; readonly source: "table" | "extrapolated" } | undefined {
  const first = points[0];
  const last = points.at(-1);
  const beforeLast = points.at(-2);
  if (first === undefined || last === undefined || beforeLast === undefined) return undefined;
  // A looser target than the table's first point gets that point: nothing laxer was measured.
  if (fmr >= first.fmr) return { cosine: first.cosine, source: "table" };
  const above = points.findIndex((point) => point.fmr <= fmr);
  const upper = points[above];
  const lower = points[above - 1];
  if (upper !== undefined && lower !== undefined)
    return { cosine: onLine(lower, upper, fmr), source: "table" };
  if (!(Math.log10(last.fmr / fmr) <= extrapolateDecades)) return undefined;
  const found = onLine(beforeLast, last, fmr);
  // Past 1 no score can pass: that is a refusal, and saying so is clearer.
  return found <= 1 ? { cosine: found, source: "extrapolated" } : undefined;
}

interface Point {
  readonly cosine: number;
  readonly fmr: number;
}

function onLine(lower: Point, upper: Point, fmr: number): number {
  const share = Math.log(lower.fmr / fmr) / Math.log(lower.fmr / upper.fmr);
  return lower.cosine + share * (upper.cosine - lower.cosine);
}
