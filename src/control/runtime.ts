/** The running appliance as the updater sees it: what serves, what is tried beside it, and the switch. */
import type { IdentityId, SpaceId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
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
import { reembedFrom, reembedThese } from "./reembed.ts";
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

/** Frames that take longer than this from capture to main say that the machine has no room. */
const DELAY_MAX_MS = 400;

export class ApplianceRuntime implements Runtime, AsyncDisposable {
  readonly #options: RuntimeOptions;
  readonly #deps: RuntimeDeps;
  readonly #listeners = new Set<(message: SampleMessage) => void>();
  #candidate: PackCandidate | undefined;
  #isSwitching = false;

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

  /**
   * Everything that can fail or takes time comes first, beside what serves: the process with its models,
   * whoever is not in its space yet, the gallery. Then one step, in which nothing waits but for the end of
   * the process that served.
   */
  async #switch(pack: PackOnDisk, signal: AbortSignal): Promise<void> {
    const { vision, serving, probation, onLeaving, onServing, log, clock } = this.#deps;
    const startedMs = clock.monotonicMs();
    await using stack = new AsyncDisposableStack();
    const successor = stack.use(await vision.prepare(pack.directory, signal));
    using changed = this.#changedElsewhere(pack.pack.embedder.spaceId);
    const embed = reembedDepsOf(pack, this.#deps, async (crops, stop) => {
      const { embeddings } = await successor.embedCrops(crops, { signal: stop });
      return embeddings;
    });
    await reembedFrom(undefined, embed, () => undefined, signal);
    const gallery = await this.#galleryOf(pack, signal);
    if (gallery !== serving.gallery) stack.use(gallery);
    for (let ids = changed.take(); ids.length > 0; ids = changed.take())
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
