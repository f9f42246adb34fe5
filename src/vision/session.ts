/** One ONNX Runtime session: fixed input shape, reused input buffer, provider chosen by trying. */
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { Fault, messageOf } from "../lib/fault.ts";
import type { Provider } from "../observation/messages.ts";

type Runtime = typeof import("onnxruntime-node");

/** @throws Fault `onnxruntime_missing` */
export function loadRuntime(): Runtime {
  try {
    const runtime = createRequire(import.meta.url)("onnxruntime-node") as Runtime;
    // Refused providers are reported by us; the runtime would print them in colour to stderr.
    runtime.env.logLevel = "fatal";
    return runtime;
  } catch (cause) {
    throw new Fault("onnxruntime_missing", "ONNX Runtime cannot be loaded; run scripts/setup.sh", {
      cause,
    });
  }
}

/**
 * Threads of one model run: `configured`, or one less than the cores, so that the reader and main have
 * one; both of two, since one alone would miss the frame rate.
 */
export function threadsFor(configured: number): number {
  if (configured > 0) return configured;
  const cores = availableParallelism();
  return cores <= 2 ? cores : cores - 1;
}

export interface ModelOptions {
  readonly model: Uint8Array;
  readonly inputName: string;
  /** NCHW, all fixed: one session runs one shape. */
  readonly inputShape: readonly [number, 3, number, number];
  readonly provider: Provider;
  readonly threads: number;
  /** Gives its working memory back after each run, for sessions that run seldom; slower. */
  readonly isSeldom?: boolean;
}

export class ModelSession {
  readonly #session: InferenceSession;
  readonly #feeds: Readonly<Record<string, Tensor>>;
  readonly #outputs: readonly string[] | undefined;
  /** NCHW float32; write here, then {@link run}. */
  readonly input: Float32Array;

  private constructor(
    session: InferenceSession,
    feeds: Readonly<Record<string, Tensor>>,
    input: Float32Array,
    outputs: readonly string[] | undefined,
  ) {
    this.#session = session;
    this.#feeds = feeds;
    this.#outputs = outputs;
    this.input = input;
  }

  /** Creates the session and runs it once, since a provider may fail only then. Throws what the runtime throws. */
  static async open(
    runtime: Runtime,
    options: ModelOptions,
    outputs?: readonly string[],
  ): Promise<ModelSession> {
    const [batch, channels, height, width] = options.inputShape;
    const session = await runtime.InferenceSession.create(options.model, {
      executionProviders: [options.provider],
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      enableCpuMemArena: options.isSeldom !== true,
      logSeverityLevel: 4,
      // A spinning pool would take the other core between frames.
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    });
    if (!session.inputNames.includes(options.inputName)) {
      throw new Fault(
        "model_mismatch",
        `the model has no input "${options.inputName}" but ${session.inputNames.join(", ")}`,
      );
    }
    for (const name of outputs ?? []) {
      if (session.outputNames.includes(name)) continue;
      throw new Fault(
        "model_mismatch",
        `the model has no output "${name}" but ${session.outputNames.join(", ")}`,
      );
    }
    const input = new Float32Array(batch * channels * height * width);
    const feeds = {
      [options.inputName]: new runtime.Tensor("float32", input, [...options.inputShape]),
    };
    const opened = new ModelSession(session, feeds, input, outputs);
    await opened.run(() => undefined);
    return opened;
  }

  /** Runs on what lies in `input`. The outputs are valid only inside `take`. */
  async run<T>(take: (output: (name: string) => Float32Array) => T): Promise<T> {
    const results =
      this.#outputs === undefined
        ? await this.#session.run(this.#feeds)
        : await this.#session.run(this.#feeds, [...this.#outputs]);
    try {
      return take((name) => floatsOf(results[name], name));
    } finally {
      for (const tensor of Object.values(results)) tensor.dispose();
    }
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}

function floatsOf(tensor: Tensor | undefined, name: string): Float32Array {
  if (tensor?.data instanceof Float32Array) return tensor.data;
  throw new Fault("model_mismatch", `the model's output "${name}" is missing or not float32`);
}

export interface ProviderChoice<T> {
  readonly provider: Provider;
  readonly value: T;
  readonly refused: readonly { readonly provider: Provider; readonly reason: string }[];
}

/** Refusals that no other provider can mend. */
const FINAL_CODES = new Set(["model_mismatch", "golden_mismatch"]);

/**
 * The first provider with which `open` succeeds.
 *
 * @throws Fault `provider_unavailable` when none does, or only another than `required`
 */
export async function chooseProvider<T>(
  providers: readonly Provider[],
  required: Provider | undefined,
  open: (provider: Provider) => Promise<T>,
): Promise<ProviderChoice<T>> {
  const refused: { provider: Provider; reason: string }[] = [];
  const wanted = required === undefined ? providers : [required];
  let last: unknown;
  for (const provider of wanted) {
    try {
      return { provider, value: await open(provider), refused };
    } catch (thrown) {
      last = thrown;
      refused.push({ provider, reason: firstLine(messageOf(thrown)) });
    }
  }
  if (last instanceof Fault && FINAL_CODES.has(last.code)) throw last;
  const reasons = refused.map(({ provider, reason }) => `${provider}: ${reason}`).join("; ");
  throw new Fault(
    "provider_unavailable",
    `no inference provider works (${reasons}); check the drivers or vision.providers`,
    {
      cause: last,
      retry: "later",
    },
  );
}

const firstLine = (text: string): string => (text.split("\n")[0] ?? "").slice(0, 400);
