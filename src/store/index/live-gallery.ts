/**
 * The gallery of one space in memory. Exact search serves at once; above a size, an HNSW generation is
 * built beside it and takes over. Whatever proposes, the exact cosine of the table decides, and an erased
 * identity is out of the answers before its erase is acknowledged.
 */
import { scheduler } from "node:timers/promises";
import type { Candidate, Gallery } from "../../gallery/index-port.ts";
import type { GalleryChange, RecordReader, StoredTemplate } from "../../gallery/record.ts";
import { unreachable } from "../../lib/assert.ts";
import { backoffMs } from "../../lib/backoff.ts";
import type { IdentityId, SpaceId } from "../../lib/brand.ts";
import type { Clock } from "../../lib/clock.ts";
import { codeOf, Fault } from "../../lib/fault.ts";
import type { Log } from "../../lib/log.ts";
import { isUnit } from "../../lib/vector.ts";
import { Asker } from "./ask.ts";
import { fillGeneration, startGeneration } from "./generation.ts";
import type { GalleryStats, LiveGalleryDeps, LiveGalleryOptions } from "./live-gallery-types.ts";
import { RecallEstimate } from "./recall.ts";
import { SlotBook } from "./slot-book.ts";
import { ThreadIndex } from "./thread-index.ts";
import { VectorTable } from "./vector-table.ts";

/** Up to here (20 000 of 256) a scan takes less than half a millisecond: no more than to ask a thread. */
const INLINE_FLOATS = 5_200_000;
const DELETED_SHARE_MAX = 0.2;
/** Of `exactBelow`: HNSW goes when the gallery is smaller. */
const SHRUNK_SHARE = 0.8;
const RECALL_MIN = 0.99;
/** Of the gallery: fewer additions and erasures since the last build make another one much the same graph. */
const CHURN_MIN = 0.05;
const RETRY = { firstMs: 1000, maxMs: 60_000 };
/** Templates read between two turns of the event loop. */
const LOAD_TURN = 2000;
const MAIN_SCANNER = 0;

export class LiveGallery implements Gallery, AsyncDisposable {
  readonly spaceId: SpaceId;
  readonly dimension: number;
  readonly #options: LiveGalleryOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #table: VectorTable;
  readonly #book = new SlotBook();
  readonly #stop = new AbortController();
  readonly #asker: Asker;
  readonly #exactBelow: number;
  #unsubscribe: () => void = () => undefined;
  #exact: ThreadIndex | undefined;
  #serving: ThreadIndex | undefined;
  #building: ThreadIndex | undefined;
  /** Slots of the erased that an HNSW generation may still carry, with the builds begun by then. */
  #retired: { readonly slot: number; readonly builds: number }[] = [];
  #erasedWhileLoading: Set<IdentityId> | undefined = new Set();
  #recall = new RecallEstimate();
  #isSettled = false;
  #sampling = false;
  #builds = 0;
  #generation = 0;
  #failures = 0;
  #deleted = 0;
  /** Templates added and erased since the last build began. */
  #churn = 0;
  #changes = 0;
  #searches = 0;
  #fallbacks = 0;

  private constructor(
    options: LiveGalleryOptions,
    { clock, log }: Pick<LiveGalleryDeps, "clock" | "log">,
  ) {
    this.spaceId = options.spaceId;
    this.dimension = options.dimension;
    this.#options = options;
    this.#exactBelow = options.exactBelow ?? 20_000;
    this.#clock = clock;
    this.#log = log;
    this.#table = VectorTable.create(options.dimension);
    this.#asker = new Asker({ clock, log }, this.#stop.signal);
  }

  /** Loads every template of the space and serves, exactly, when it resolves. Hears of changes meanwhile. */
  static async open(
    options: LiveGalleryOptions,
    deps: LiveGalleryDeps,
    signal?: AbortSignal,
  ): Promise<LiveGallery> {
    const gallery = new LiveGallery(options, deps);
    try {
      gallery.#unsubscribe = deps.changes((change) => gallery.apply(change));
      await gallery.#load(deps.record, signal);
      return gallery;
    } catch (cause) {
      await gallery[Symbol.asyncDispose]();
      throw cause;
    }
  }

  get identityCount(): number {
    return this.#book.identityCount;
  }

  get templateCount(): number {
    return this.#book.templateCount;
  }

  /** @throws Fault `invalid_query` */
  readonly search = async (vector: Float32Array, k: number): Promise<readonly Candidate[]> => {
    if (!isUnit(vector, this.dimension))
      throw new Fault(
        "invalid_query",
        `the query is no finite unit vector of ${this.dimension} values`,
      );
    if (this.#isInline()) return this.#scored(this.#scan(vector, k), vector, k);
    const index = this.#serving ?? this.#exact;
    const changes = this.#changes;
    const proposed = await this.#asker.ask(index, vector, k);
    const found = proposed === undefined ? [] : this.#scored(proposed, vector, k);
    // Silence, or fewer than there are: the calling thread looks for itself.
    if (found.length < Math.min(k, this.templateCount)) {
      this.#fallbacks += 1;
      return this.#scored(this.#scan(vector, k), vector, k);
    }
    if (index?.kind === "hnsw") void this.#sample(vector, found, changes);
    return found;
  };

  /** Synchronous: when it returns, an erased identity is in no answer any more. */
  apply(change: GalleryChange): void {
    this.#changes += 1;
    switch (change.kind) {
      case "identity-changed":
        return;
      case "templates-added":
        this.#addToIndexes(this.#accept(change.templates));
        break;
      case "identity-erased":
        this.#erasedWhileLoading?.add(change.identityId);
        this.#erase(change.identityId);
        break;
      default:
        unreachable(change);
    }
    this.#considerBuild();
  }

  stats(): GalleryStats {
    const { share, sampled } = this.#recall;
    return {
      spaceId: this.spaceId,
      kind: this.#serving === undefined ? "exact" : "hnsw",
      generation: this.#generation,
      identities: this.identityCount,
      templates: this.templateCount,
      deleted: this.#deleted,
      building: this.#building !== undefined,
      ...(share === undefined ? {} : { recall: share }),
      recallSamples: sampled,
      fallbacks: this.#fallbacks,
      tableBytes: this.#table.bytes,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#unsubscribe();
    const indexes = this.#indexes();
    this.#exact = undefined;
    this.#serving = undefined;
    this.#building = undefined;
    await Promise.all(indexes.map((index) => index[Symbol.asyncDispose]()));
  }

  async #load(
    record: Pick<RecordReader, "templates">,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    // The thread starts while the templates are read.
    const exact = ThreadIndex.start("exact", this.#table);
    try {
      await this.#read(record, signal);
    } catch (cause) {
      await exact[Symbol.asyncDispose]();
      throw cause;
    }
    this.#erasedWhileLoading = undefined;
    await this.#startExact(exact);
    void this.#settle();
  }

  async #settle(): Promise<void> {
    const { settleMs = 0 } = this.#options;
    if (settleMs > 0) await this.#clock.sleep(settleMs, this.#stop.signal);
    this.#isSettled = true;
    this.#considerBuild();
  }

  async #read(
    record: Pick<RecordReader, "templates">,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let read = 0;
    for (const template of record.templates(this.spaceId)) {
      read += 1;
      if (read % LOAD_TURN === 0) {
        await scheduler.yield();
        signal?.throwIfAborted();
      }
      // The page may have been read before an erase that was acknowledged since.
      if (this.#erasedWhileLoading?.has(template.identityId) !== true) this.#accept([template]);
    }
  }

  /** @returns the new slots */
  #accept(templates: readonly StoredTemplate[]): number[] {
    const slots: number[] = [];
    for (const { id: templateId, identityId, spaceId, vector } of templates) {
      if (spaceId !== this.spaceId || this.#book.has({ identityId, templateId })) continue;
      if (!isUnit(vector, this.dimension)) {
        this.#log.error(
          { identityId, templateId, code: "invalid_template" },
          "a stored template is no unit vector of this space: passed over",
        );
        continue;
      }
      const slot = this.#book.take({ identityId, templateId });
      this.#table.set(slot, vector);
      slots.push(slot);
    }
    return slots;
  }

  #addToIndexes(slots: readonly number[]): void {
    if (slots.length === 0) return;
    this.#churn += slots.length;
    for (const index of this.#indexes())
      index.addSlots(slots).catch((cause: unknown) => this.#discard(index, cause));
  }

  #erase(identityId: IdentityId): void {
    const slots = this.#book.release(identityId);
    if (slots.length === 0) return;
    for (const slot of slots) this.#table.wipe(slot);
    this.#churn += slots.length;
    const approximate = this.#serving !== undefined || this.#building !== undefined;
    if (this.#serving !== undefined) this.#deleted += slots.length;
    const removals = this.#indexes().map((index) =>
      index.remove(slots).catch((cause: unknown) => this.#discard(index, cause)),
    );
    if (approximate) this.#retired.push(...slots.map((slot) => ({ slot, builds: this.#builds })));
    // An exact index that was asked earlier still names them: they are free once it has answered.
    else void Promise.all(removals).then(() => this.#book.recycle(slots));
  }

  #isInline(): boolean {
    const floats = this.#book.end * this.dimension;
    return this.#serving === undefined && floats <= (this.#options.inlineFloats ?? INLINE_FLOATS);
  }

  #scan(vector: Float32Array, k: number): readonly number[] {
    const held = (slot: number): boolean => this.#book.ownerOf(slot) !== undefined;
    return this.#table
      .nearest(vector, k, this.#book.end, MAIN_SCANNER, held)
      .map(({ slot }) => slot);
  }

  #scored(slots: readonly number[], vector: Float32Array, k: number): Candidate[] {
    const candidates: Candidate[] = [];
    for (const slot of slots) {
      const owner = this.#book.ownerOf(slot);
      if (owner !== undefined)
        candidates.push({ ...owner, cosine: this.#table.cosineWith(slot, vector) });
    }
    return candidates.sort((a, b) => b.cosine - a.cosine).slice(0, k);
  }

  async #sample(vector: Float32Array, found: readonly Candidate[], changes: number): Promise<void> {
    this.#searches += 1;
    if (this.#sampling || this.#searches % (this.#options.sampleEvery ?? 32) !== 0) return;
    this.#sampling = true;
    const served = this.#serving;
    const exact = await this.#asker.ask(this.#exact, vector, 1);
    this.#sampling = false;
    const best = exact?.[0];
    // A gallery that changed in between is no ground to compare on.
    if (best === undefined || changes !== this.#changes || served !== this.#serving) return;
    this.#recall.note((found[0]?.cosine ?? -1) >= this.#table.cosineWith(best, vector) - 1e-6);
    this.#considerBuild();
  }

  #indexes(): ThreadIndex[] {
    return [this.#exact, this.#serving, this.#building].filter((index) => index !== undefined);
  }

  async #startExact(exact = ThreadIndex.start("exact", this.#table)): Promise<void> {
    this.#exact = exact;
    void exact.died.then((fault) => this.#discard(exact, fault));
    await exact.addSlots(this.#book.owned());
  }

  /** An index that failed to take a change, or died, is out of service; another takes its place. */
  #discard(index: ThreadIndex, cause: unknown): void {
    if (this.#stop.signal.aborted || !this.#indexes().includes(index)) return;
    this.#log.warn(
      { index: index.kind, code: codeOf(cause) },
      "an index failed: another is made while searches go on",
    );
    if (this.#exact === index) this.#exact = undefined;
    if (this.#serving === index) this.#serving = undefined;
    if (this.#building === index) this.#building = undefined;
    this.#failures += 1;
    void index[Symbol.asyncDispose]();
    void this.#repairLater();
  }

  async #repairLater(): Promise<void> {
    await this.#clock.sleep(backoffMs(this.#failures - 1, 0.5, RETRY), this.#stop.signal);
    if (this.#stop.signal.aborted) return;
    if (this.#exact === undefined) await this.#startExact().catch(() => undefined);
    this.#considerBuild();
  }

  #considerBuild(): void {
    if (!this.#isSettled || this.#stop.signal.aborted) return;
    if (this.templateCount <= this.#exactBelow) {
      this.#backToExact();
      return;
    }
    if (this.#building !== undefined) return;
    const stale = this.#deleted > (this.templateCount + this.#deleted) * DELETED_SHARE_MAX;
    const worn = this.#recall.isBelow(RECALL_MIN) && this.#churn > this.templateCount * CHURN_MIN;
    if (this.#serving !== undefined && !stale && !worn) return;
    void this.#build();
  }

  /** A gallery that shrank needs no index; not at once, so that one at the edge does not build daily. */
  #backToExact(): void {
    if (this.templateCount > this.#exactBelow * SHRUNK_SHARE) return;
    const old = [this.#serving, this.#building].filter((index) => index !== undefined);
    this.#serving = undefined;
    this.#building = undefined;
    this.#deleted = 0;
    this.#book.recycle(this.#retired.map(({ slot }) => slot));
    this.#retired = [];
    for (const index of old) void index[Symbol.asyncDispose]();
  }

  async #build(): Promise<void> {
    this.#builds += 1;
    this.#churn = 0;
    const build = this.#builds;
    const parts = { table: this.#table, book: this.#book, parameters: this.#options.hnsw ?? {} };
    const index = startGeneration(parts);
    this.#building = index;
    void index.died.then((fault) => this.#discard(index, fault));
    const startedAt = this.#clock.monotonicMs();
    try {
      await fillGeneration(index, this.#book.owned(), parts, this.#stop.signal);
    } catch (cause) {
      this.#discard(index, cause);
      return;
    }
    // Discarded meanwhile: its change of heart is not ours to overrule.
    if (this.#building !== index) return;
    this.#takeOver(index, build);
    const { templates, generation } = this.stats();
    this.#log.info(
      { generation, templates, buildMs: Math.round(this.#clock.monotonicMs() - startedAt) },
      "a new index generation serves",
    );
  }

  #takeOver(index: ThreadIndex, build: number): void {
    const old = this.#serving;
    this.#serving = index;
    this.#building = undefined;
    this.#generation += 1;
    this.#failures = 0;
    this.#recall = new RecallEstimate();
    const late = this.#retired.filter((slot) => slot.builds >= build);
    this.#deleted = late.length;
    // Erased before the build began: neither the new generation nor, from now on, the old one carries them.
    this.#book.recycle(this.#retired.filter((slot) => slot.builds < build).map(({ slot }) => slot));
    this.#retired = late;
    if (old !== undefined) void old[Symbol.asyncDispose]();
  }
}
