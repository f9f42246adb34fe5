/** One thing after another, never far behind: when too many wait, the oldest is folded into the next. */

interface Waiting<Item, Result> {
  item: Item;
  readonly resolve: (result: Result | undefined) => void;
  readonly reject: (reason: unknown) => void;
}

export interface LaneOptions<Item, Result> {
  /** How many may wait besides the one that runs; at least 1. */
  readonly waitingMax: number;
  readonly run: (item: Item) => Promise<Result>;
  /** What must not be lost of `oldest` when it is dropped, added to `next`. */
  readonly fold: (oldest: Item, next: Item) => Item;
}

export class Lane<Item, Result> {
  readonly #options: LaneOptions<Item, Result>;
  readonly #waiting: Waiting<Item, Result>[] = [];
  #running = false;
  #droppedCount = 0;

  constructor(options: LaneOptions<Item, Result>) {
    this.#options = options;
  }

  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** Begins at once when nothing runs. @returns what `run` gave or threw; undefined when the item was folded away */
  put(item: Item): Promise<Result | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Result | undefined>();
    this.#waiting.push({ item, resolve, reject });
    if (this.#running) this.#makeRoom();
    else void this.#drain();
    return promise;
  }

  #makeRoom(): void {
    if (this.#waiting.length <= this.#options.waitingMax) return;
    const [oldest, next] = this.#waiting;
    if (oldest === undefined || next === undefined) return;
    this.#waiting.shift();
    next.item = this.#options.fold(oldest.item, next.item);
    this.#droppedCount += 1;
    oldest.resolve(undefined);
  }

  async #drain(): Promise<void> {
    this.#running = true;
    for (let entry = this.#waiting.shift(); entry !== undefined; entry = this.#waiting.shift()) {
      try {
        entry.resolve(await this.#options.run(entry.item));
      } catch (fault) {
        entry.reject(fault);
      }
    }
    this.#running = false;
  }
}
