/** The running appliance as the updater sees it: what serves, what is tried beside it, and the switch. */
import { once } from "node:events";
import type { IdentityId, SpaceId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import type { MatchOptions } from "../match/options.ts";
import type { SampleMessage, VisionOptions } from "../observation/messages.ts";
import type { Candidate, PackOnDisk, ProbationSample, Runtime } from "../release/ports.ts";
import type { SelfTestOptions } from "../release/self-test.ts";
import type { ShadowOptions } from "../release/shadow.ts";
import type { Deferral } from "../release/state.ts";
import type { Store } from "../store/store.ts";
import type { VisionProcess } from "../vision/process.ts";
import { type OtherSpace, PackCandidate, reembedDepsOf } from "./candidate.ts";
import type { ProbationWatch } from "./probation.ts";
import { behindIn, reembedThese } from "./reembed.ts";
import { openGallery, type Served, type Serving } from "./serving.ts";

export interface RuntimeOptions {
  readonly vision: VisionOptions;
  readonly selfTest: SelfTestOptions;
  readonly shadow: ShadowOptions;
}

export interface RuntimeDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: Store;
  readonly serving: Serving;
  readonly vision: VisionProcess;
  readonly probation: ProbationWatch;
  readonly match: () => MatchOptions;
  /** Whether somebody is being enrolled at a camera. */
  readonly isEnrolling: () => boolean;
  /** Called around the step: cameras and tracks know that vision is another one. */
  readonly onLeaving: () => void;
  readonly onServing: () => void;
}

/** The switch waits this long for people who are behind: then they follow while it serves already. */
const CATCH_UP_MS = 2000;
const FOLLOW_RETRY_MS = 10_000;
/** Frames that take longer than this from capture to main say that the machine has no room. */
const DELAY_MAX_MS = 400;

export class ApplianceRuntime implements Runtime, AsyncDisposable {
  readonly #options: RuntimeOptions;
  readonly #deps: RuntimeDeps;
  readonly #listeners = new Set<(message: SampleMessage) => void>();
  #candidate: PackCandidate | undefined;
  #isSwitching = false;
  /** Aborts when another pack serves. */
  #follow = new AbortController();

  constructor(options: RuntimeOptions, deps: RuntimeDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Where enrolments are kept too, while a candidate with another space is open. */
  get otherSpace(): OtherSpace | undefined {
    const candidate = this.#candidate;
    return candidate?.spaceId === this.#deps.serving.gallery.spaceId ? undefined : candidate;
  }

  onSample(message: SampleMessage): void {
    for (const listener of this.#listeners) listener(message);
  }

  readonly active = (): PackOnDisk => this.#deps.serving.pack;

  readonly openCandidate = async (pack: PackOnDisk, signal: AbortSignal): Promise<Candidate> => {
    if (this.#candidate !== undefined)
      throw new Fault("candidate_open", "a candidate is open already: close it first");
    const { selfTest, shadow, vision } = this.#options;
    const candidate = await PackCandidate.open(
      pack,
      {
        ...this.#deps,
        vision,
        selfTest,
        shadow,
        samples: (onSample) => this.#sample(onSample),
        onClosed: () => {
          if (this.#candidate === candidate) this.#candidate = undefined;
        },
      },
      signal,
    );
    this.#candidate = candidate;
    return candidate;
  };

  readonly coverage = (spaceId: SpaceId): { readonly missing: readonly string[] } => {
    const { store, serving } = this.#deps;
    return { missing: store.reembedding.missing(serving.gallery.spaceId, spaceId) };
  };

  readonly retainSpaces = (spaceIds: readonly SpaceId[]): void => {
    const { store, serving } = this.#deps;
    const open = this.#candidate === undefined ? [] : [this.#candidate.spaceId];
    store.retainSpaces([serving.gallery.spaceId, ...open, ...spaceIds]);
  };

  readonly switchTo = async (pack: PackOnDisk, signal: AbortSignal): Promise<void> => {
    if (this.#isSwitching)
      throw new Fault("switch_busy", "another pack is being switched to: wait for its end", {
        retry: "later",
      });
    this.#isSwitching = true;
    try {
      await this.#switch(pack, signal);
    } finally {
      this.#isSwitching = false;
    }
  };

  readonly probation = (): ProbationSample => this.#deps.probation.sample();

  readonly deferral = (): Deferral | undefined => {
    if (this.#deps.isEnrolling()) return "busy";
    return this.#deps.probation.delayMs > DELAY_MAX_MS ? "load" : undefined;
  };

  /**
   * Has whoever has more crops than templates in the active space embedded by the serving process: after a
   * start with another pack, and after a switch that could not wait for everybody. Until `signal` aborts.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, store, serving } = this.#deps;
    // An enrolment that was judged before a switch and is stored after it says the old space alone.
    const stop = store.onGalleryChange((change) => {
      if (change.kind !== "templates-added") return;
      const known = [serving.gallery.spaceId, this.#candidate?.spaceId];
      if (!change.templates.some(({ spaceId }) => known.includes(spaceId))) this.#follow.abort();
    });
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      this.#follow = new AbortController();
      const switched = this.#follow.signal;
      const isDone = await this.#followUp(AbortSignal.any([signal, switched])).catch((thrown) => {
        if (!signal.aborted) log.warn({ code: codeOf(thrown) }, "people are still to be embedded");
        return false;
      });
      const rest = AbortSignal.any([signal, switched]);
      if (isDone && !rest.aborted) await once(rest, "abort");
      else if (!switched.aborted) await clock.sleep(FOLLOW_RETRY_MS, rest);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#candidate?.[Symbol.asyncDispose]();
  }

  #sample(onSample: (message: SampleMessage) => void): () => void {
    const { vision } = this.#deps;
    const { everyMs, frameAgeMaxMs } = this.#options.shadow;
    this.#listeners.add(onSample);
    vision.sample({ everyMs, frameAgeMaxMs });
    return () => {
      this.#listeners.delete(onSample);
      if (this.#listeners.size === 0) vision.sample(undefined);
    };
  }

  /** @returns true when nobody is left who can be embedded */
  async #followUp(signal: AbortSignal): Promise<true> {
    const { store, serving, vision, log } = this.#deps;
    const { pack } = serving;
    const { spaceId } = pack.pack.embedder;
    const ids = store.reembedding.short(spaceId);
    if (ids.length === 0) return true;
    const deps = reembedDepsOf(pack, this.#deps, async (crops, stop) => {
      const found = await vision.embedCrops(crops, { signal: stop });
      if (found.spaceId === spaceId) return found.embeddings;
      throw new Fault("model_changed", "another pack serves by now", { retry: "now" });
    });
    const { identities, broken } = await reembedThese(ids, deps, signal);
    const followed = identities - broken.length;
    log.info({ followed, broken: broken.length }, "people follow into the space that serves");
    return true;
  }

  /**
   * Everything that can fail or takes time comes first, beside what serves: the process with its models,
   * whoever is not in its space yet, the gallery. Then one step, in which nothing waits but for the end of
   * the process that served.
   */
  async #switch(pack: PackOnDisk, signal: AbortSignal): Promise<void> {
    const { vision, serving, probation, onLeaving, onServing, log, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    await using stack = new AsyncDisposableStack();
    const { spaceId } = pack.pack.embedder;
    using changed = this.#changedElsewhere(spaceId);
    const [prepared, behind] = await Promise.allSettled([
      vision.prepare(pack.directory, signal),
      behindIn(spaceId, this.#deps.store, signal),
    ]);
    if (prepared.status === "rejected") throw prepared.reason;
    const successor = stack.use(prepared.value);
    if (behind.status === "rejected") throw behind.reason;
    const embed = reembedDepsOf(pack, this.#deps, async (crops, stop) => {
      const { embeddings } = await successor.embedCrops(crops, { signal: stop });
      return embeddings;
    });
    const untilMs = clock.monotonicMs() + CATCH_UP_MS;
    const isTime = (): boolean => clock.monotonicMs() < untilMs;
    for (const id of behind.value) if (isTime()) await reembedThese([id], embed, signal);
    const gallery = await this.#galleryOf(pack, signal);
    if (gallery !== serving.gallery) stack.use(gallery);
    for (let ids = changed.take(); ids.length > 0 && isTime(); ids = changed.take())
      await reembedThese(ids, embed, signal);
    signal.throwIfAborted();

    const before = serving.replace({ pack, gallery });
    const adopted = successor.adopt();
    onLeaving();
    try {
      await adopted;
    } catch (thrown) {
      // It has ended since it was loaded. Nothing was handed over.
      serving.replace(before);
      onServing();
      throw thrown;
    }
    // It is the serving one's now.
    stack.move();
    probation.switched();
    onServing();
    if (before.gallery !== gallery) await before.gallery[Symbol.asyncDispose]();
    const ms = Math.round(clock.monotonicMs() - startedMs);
    log.info({ packId: pack.pack.id, spaceId: gallery.spaceId, ms }, "another pack serves");
    this.#follow.abort();
  }

  async #galleryOf(pack: PackOnDisk, signal: AbortSignal): Promise<Served["gallery"]> {
    const { serving } = this.#deps;
    const { spaceId, dimension } = pack.pack.embedder;
    const known = serving.gallery;
    if (known.spaceId === spaceId && known.dimension === dimension) return known;
    return openGallery(pack, this.#deps, signal);
  }

  /** Identities that get templates in another space from now on. */
  #changedElsewhere(spaceId: SpaceId): Disposable & { readonly take: () => readonly IdentityId[] } {
    const ids = new Set<IdentityId>();
    const stop = this.#deps.store.onGalleryChange((change) => {
      if (change.kind === "templates-added")
        for (const template of change.templates)
          if (template.spaceId !== spaceId) ids.add(template.identityId);
    });
    return {
      take: () => {
        const taken = [...ids];
        ids.clear();
        return taken;
      },
      [Symbol.dispose]: stop,
    };
  }
}
