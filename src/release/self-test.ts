/** What a pack must show in a process of its own before it sees a camera: measured there, judged here. */
import { z } from "zod";

export const SelfTestOptions = z.strictObject({
  runs: z
    .int()
    .min(2)
    .max(1000)
    .default(12)
    .meta({ description: "how often the embedder runs on each golden crop" }),
  p95MaxMs: z.number().positive().max(60_000).default(400).meta({
    description:
      "95th percentile of one embedder run beside the serving pack, at low priority; above it the pack is refused",
  }),
  rssMaxBytes: z
    .int()
    .positive()
    .default(1024 ** 3)
    .meta({
      description: "resident memory of the candidate process; above it the pack is refused",
    }),
  timeoutMs: z
    .int()
    .min(1000)
    .default(120_000)
    .meta({ description: "the self-test, beside the loading, ends after this long" }),
});
export type SelfTestOptions = z.infer<typeof SelfTestOptions>;

export interface SelfTestMeasured {
  readonly provider: "tensorrt" | "cuda" | "cpu";
  /** Least cosine over the golden vectors and all runs; undefined when a run gave no finite vector. */
  readonly goldenCosine: number | undefined;
  /** Every run of one crop gave the same bytes. */
  readonly isRepeatable: boolean;
  /** 95th percentile of one embedder run. */
  readonly p95Ms: number;
  readonly rssBytes: number;
}

export type SelfTestVerdict =
  | { readonly kind: "passed"; readonly goldenCosine: number }
  | {
      readonly kind: "failed";
      readonly code:
        | "self_test_golden"
        | "self_test_unstable"
        | "self_test_slow"
        | "self_test_memory";
      readonly message: string;
    };

/** @param cosineMin the pack's own, for the provider that serves. NaN fails. */
export function selfTestVerdict(
  measured: SelfTestMeasured,
  cosineMin: number,
  { p95MaxMs, rssMaxBytes }: Pick<SelfTestOptions, "p95MaxMs" | "rssMaxBytes">,
): SelfTestVerdict {
  const { provider, goldenCosine, isRepeatable, p95Ms, rssBytes } = measured;
  const failed = (
    code: Extract<SelfTestVerdict, { readonly kind: "failed" }>["code"],
    message: string,
  ): SelfTestVerdict => ({ kind: "failed", code, message });
  if (goldenCosine === undefined)
    return failed("self_test_golden", `the embedder gives no finite vector on ${provider}`);
  if (!(goldenCosine >= cosineMin))
    return failed(
      "self_test_golden",
      `a golden vector has cosine ${goldenCosine.toFixed(5)} on ${provider}, ${cosineMin} is needed`,
    );
  // Accelerators add up in another order each time.
  if (provider === "cpu" && !isRepeatable)
    return failed("self_test_unstable", "the same crop gives another vector each time");
  if (!(p95Ms <= p95MaxMs))
    return failed(
      "self_test_slow",
      `one run takes ${Math.round(p95Ms)} ms at the 95th percentile, ${p95MaxMs} are allowed`,
    );
  if (!(rssBytes <= rssMaxBytes))
    return failed(
      "self_test_memory",
      `the process takes ${mebibytes(rssBytes)} MiB, ${mebibytes(rssMaxBytes)} are allowed`,
    );
  return { kind: "passed", goldenCosine };
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);
