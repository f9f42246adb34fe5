/** Whether a pack that serves since a while may stay, by what was counted since the switch. */
import { z } from "zod";
import type { ProbationSample } from "./ports.ts";

export const ProbationOptions = z.strictObject({
  durationMs: z
    .int()
    .min(0)
    .default(24 * 3_600_000)
    .meta({ description: "a pack is kept for good after this long, ms" }),
  visionExitsMax: z
    .int()
    .min(0)
    .default(1)
    .meta({ description: "the vision process may end this often; once more, and the pack goes" }),
  framesMin: z
    .int()
    .min(1)
    .default(100)
    .meta({ description: "frames before shares and times of frames are judged" }),
  failedShareMax: z
    .number()
    .min(0)
    .max(1)
    .default(0.02)
    .meta({ description: "largest share of frames on which the embedder fails" }),
  p95MaxMs: z
    .number()
    .positive()
    .default(400)
    .meta({ description: "95th percentile of one face step; above it the pack goes" }),
  decisionsMin: z
    .int()
    .min(1)
    .default(50)
    .meta({ description: "decisions, before and since the switch, before their share is judged" }),
  grantBand: z
    .number()
    .min(0)
    .max(1)
    .default(0.3)
    .meta({ description: "the share of grants may differ by this much from before the switch" }),
  sentinelEveryMs: z
    .int()
    .min(100)
    .default(600_000)
    .meta({ description: "how often the golden vectors run again in the serving process, ms" }),
});
export type ProbationOptions = z.infer<typeof ProbationOptions>;

/** A pack that saw hardly a frame is on probation so much longer. */
const UNSEEN_FACTOR = 4;

export type ProbationVerdict =
  | { readonly kind: "more" }
  | { readonly kind: "passed" }
  | {
      readonly kind: "failed";
      readonly code:
        | "probation_crashed"
        | "probation_errors"
        | "probation_slow"
        | "probation_grants"
        | "probation_sentinel";
      readonly message: string;
    };

/** Every comparison is written so that NaN fails. */
export function probationVerdict(
  sample: ProbationSample,
  options: ProbationOptions,
): ProbationVerdict {
  return (
    crashed(sample, options) ??
    drifted(sample) ??
    framesOf(sample, options) ??
    grantsOf(sample, options) ?? {
      kind: isOver(sample, options) ? "passed" : "more",
    }
  );
}

/** Without frames nothing was shown; a device whose cameras are away is not to wait for ever. */
function isOver(
  { elapsedMs, frames }: ProbationSample,
  { durationMs, framesMin }: ProbationOptions,
): boolean {
  return elapsedMs >= durationMs * (frames < framesMin ? UNSEEN_FACTOR : 1);
}

function crashed(
  { visionExits }: ProbationSample,
  { visionExitsMax }: ProbationOptions,
): ProbationVerdict | undefined {
  if (visionExits <= visionExitsMax) return undefined;
  return failed(
    "probation_crashed",
    `the vision process ended ${visionExits} times, ${visionExitsMax} are allowed`,
  );
}

function drifted({ sentinel }: ProbationSample): ProbationVerdict | undefined {
  if (sentinel === undefined || sentinel.cosine >= sentinel.cosineMin) return undefined;
  return failed(
    "probation_sentinel",
    `a golden vector has cosine ${sentinel.cosine.toFixed(5)} in the serving process, ${sentinel.cosineMin} is needed`,
  );
}

function framesOf(
  { frames, failedFrames, p95Ms }: ProbationSample,
  { framesMin, failedShareMax, p95MaxMs }: ProbationOptions,
): ProbationVerdict | undefined {
  if (frames < framesMin) return undefined;
  if (!(failedFrames <= frames * failedShareMax))
    return failed(
      "probation_errors",
      `the embedder failed on ${failedFrames} of ${frames} frames, a share of ${failedShareMax} is allowed`,
    );
  if (!(p95Ms <= p95MaxMs))
    return failed(
      "probation_slow",
      `one face step takes ${Math.round(p95Ms)} ms at the 95th percentile, ${p95MaxMs} are allowed`,
    );
  return undefined;
}

function grantsOf(
  { grants, denials, before }: ProbationSample,
  { decisionsMin, grantBand }: ProbationOptions,
): ProbationVerdict | undefined {
  const [now, then] = [grants + denials, before.grants + before.denials];
  if (now < decisionsMin || then < decisionsMin) return undefined;
  const [share, usual] = [grants / now, before.grants / then];
  if (Math.abs(share - usual) <= grantBand) return undefined;
  return failed(
    "probation_grants",
    `${share.toFixed(2)} of the decisions are grants, it was ${usual.toFixed(2)} before the switch; ${grantBand} up or down is allowed`,
  );
}

function failed(
  code: Extract<ProbationVerdict, { readonly kind: "failed" }>["code"],
  message: string,
): ProbationVerdict {
  return { kind: "failed", code, message };
}
