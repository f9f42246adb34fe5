/** A pack that is to serve, as the updater sees it: tested, fed with the kept crops, shown what the cameras see. */
import type { IdentityId, SpaceId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type { MatchOptions } from "../match/options.ts";
import type { SampleMessage, SourceCrop, VisionOptions } from "../observation/messages.ts";
import type { Candidate, PackOnDisk, Reembedded, SelfTest } from "../release/ports.ts";
import type { ShadowStats } from "../release/report.ts";
import { type SelfTestOptions, selfTestVerdict } from "../release/self-test.ts";
import type { ShadowOptions } from "../release/shadow.ts";
import type { Store } from "../store/store.ts";
import { CandidateProcess } from "../vision/candidate.ts";
import { type Filled, type ReembedDeps, reembedFrom, reembedThese } from "./reembed.ts";
import { openGallery, type Served, type Serving, thresholdOfServed } from "./serving.ts";
import { runShadow } from "./shadowing.ts";

/** Another space in which an enrolment is kept too. */
export interface OtherSpace {
  readonly spaceId: SpaceId;
  /** Unit vectors in the order of the crops. @throws Fault: the process is away */
  readonly embed: (
    crops: readonly SourceCrop[],
    signal: AbortSignal,
  ) => Promise<readonly Float32Array[]>;
}

export interface CandidateDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly serving: Serving;
  readonly vision: VisionOptions;
  readonly selfTest: SelfTestOptions;
  readonly shadow: ShadowOptions;
  readonly match: () => MatchOptions;
  readonly samples: (onSample: (message: SampleMessage) => void) => () => void;
  readonly onClosed: () => void;
}

export class PackCandidate implements Candidate, OtherSpace {
  readonly pack: PackOnDisk;
  readonly #process: CandidateProcess;
  readonly #deps: CandidateDeps;

  private constructor(pack: PackOnDisk, process: CandidateProcess, deps: CandidateDeps) {
    this.pack = pack;
    this.#process = process;
    this.#deps = deps;
  }

  /** @throws Fault, see `Runtime.openCandidate` */
  static async open(
    pack: PackOnDisk,
    deps: CandidateDeps,
    signal: AbortSignal,
  ): Promise<PackCandidate> {
    const options = { packDirectory: pack.directory, vision: deps.vision };
    const log = deps.log.child({ part: "candidate" });
    const { clock } = deps;
    try {
      const opened = await CandidateProcess.open(options, { clock, log }, signal);
      return new PackCandidate(pack, opened, deps);
    } catch (cause) {
      throw testFault(cause, `pack ${pack.pack.id} cannot be loaded`);
    }
  }

  get spaceId(): SpaceId {
    return this.pack.pack.embedder.spaceId;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  readonly embed: OtherSpace["embed"] = async (crops, signal) =>
    (await this.#process.embedCrops(crops, signal)).embeddings;

  readonly selfTest = async (signal: AbortSignal): Promise<SelfTest> => {
    const { selfTest: options } = this.#deps;
    const { loaded } = this.#process;
    const { id, golden } = this.pack.pack;
    const measured = await this.#process
      .selfTest(options.runs, options.timeoutMs, signal)
      .catch((cause: unknown) => {
        throw testFault(cause, `pack ${id} does not end its self-test`);
      });
    const { provider } = loaded;
    const { goldenCosine, ...rest } = measured;
    const verdict = selfTestVerdict(
      { ...rest, goldenCosine, provider },
      golden.cosineMin[provider],
      options,
    );
    if (verdict.kind === "failed")
      throw new Fault(verdict.code, `pack ${id} on ${provider}: ${verdict.message}`);
    const { p95Ms, rssBytes } = measured;
    return { loaded, goldenCosine: verdict.goldenCosine, p95Ms, rssBytes };
  };

  readonly reembed: Candidate["reembed"] = (cursor, onProgress, signal) =>
    this.#lost(async () => {
      const { reembedding } = this.#deps.store;
      const { spaceId } = this;
      const kept = reembedding.cursor(spaceId);
      const from = [cursor, kept].reduce((a, b) => ((b ?? "") > (a ?? "") ? b : a));
      const deps = reembedDepsOf(this.pack, this.#deps, this.embed);
      const paged = await reembedFrom(
        from as IdentityId | undefined,
        deps,
        (done) => {
          const counts = reembedding.counts(done);
          onProgress(done, counts.done, counts.total);
        },
        signal,
      );
      return this.#rest(paged, deps, signal);
    });

  /** Who was enrolled before the cursor since it passed; and who cannot be read at all. */
  async #rest(paged: Filled, deps: ReembedDeps, signal: AbortSignal): Promise<Reembedded> {
    const { store, serving } = this.#deps;
    const active = serving.gallery.spaceId;
    const behind = store.reembedding.missing(active, this.spaceId);
    const late = await reembedThese(behind, deps, signal);
    const withoutCrops = store.reembedding
      .missing(active, this.spaceId)
      .filter((id) => store.reembedding.pending(this.spaceId, id).kind === "without-crops");
    return {
      identities: store.reembedding.counts(undefined).total,
      templates: paged.templates + late.templates,
      withoutCrops,
      broken: [...new Set([...paged.broken, ...late.broken])],
    };
  }

  readonly shadow = (
    onProgress: (stats: ShadowStats) => void,
    signal: AbortSignal,
  ): Promise<ShadowStats> =>
    this.#lost(async () => {
      const { serving, match, store, clock, shadow: options, samples } = this.#deps;
      await using gallery = await openGallery(this.pack, this.#deps, signal);
      const served: Served = { pack: this.pack, gallery };
      return runShadow(
        {
          clock,
          options,
          match,
          active: () => ({ gallery: serving.gallery, threshold: serving.threshold() }),
          candidate: () => ({ gallery, threshold: thresholdOfServed(served, match()) }),
          isCovered: (id) => store.record.templateCount(id, this.spaceId) > 0,
          look: (frame, stop) => this.#process.look(frame, stop),
          samples,
        },
        onProgress,
        signal,
      );
    });

  async [Symbol.asyncDispose](): Promise<void> {
    this.#deps.onClosed();
    await this.#process[Symbol.asyncDispose]();
  }

  /** The process's end is told as what it is to an updater. */
  async #lost<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (codeOf(cause) !== "vision_restarted" && codeOf(cause) !== "vision_timeout") throw cause;
      throw new Fault(
        "candidate_lost",
        `the process of pack ${this.pack.pack.id} ended, or hangs: open it again`,
        { retry: "later", cause },
      );
    }
  }
}

export function reembedDepsOf(
  { pack }: PackOnDisk,
  { store, clock, log }: Pick<ReembedDeps, "store" | "clock" | "log">,
  embed: ReembedDeps["embed"],
): ReembedDeps {
  const { spaceId, dimension } = pack.embedder;
  return { store, clock, log, embed, spaceId, dimension };
}

const TEST_CODES: Readonly<Record<string, string>> = {
  golden_mismatch: "self_test_golden",
  vision_restarted: "self_test_crashed",
  vision_timeout: "self_test_slow",
};

function testFault(cause: unknown, what: string): unknown {
  const code = TEST_CODES[codeOf(cause)];
  if (code === undefined) return cause;
  const why = code === "self_test_crashed" ? "its models end the process" : messageOf(cause);
  return new Fault(code, `${what}: ${why}; do not use it here`, { cause });
}
