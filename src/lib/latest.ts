/** A mailbox that keeps the newest items and counts what it dropped. Newest frame wins. */

export class Latest<T> {
  readonly #capacity: number;
  readonly #items: T[] = [];
  #waiting: ((item: T | undefined) => void) | undefined;
  #closed = false;
  #droppedCount = 0;

  /** @param capacity how many items may wait; when full, the oldest is dropped */
  constructor(capacity = 1) {
    this.#capacity = capacity;
  }

  get droppedCount(): number {
    return this.#droppedCount;
  }

  /** @returns the item that had to make room, if any */
  put(item: T): T | undefined {
    if (this.#closed) return item;
    if (this.#waiting !== undefined) {
      const deliver = this.#waiting;
      this.#waiting = undefined;
      deliver(item);
      return undefined;
    }
    this.#items.push(item);
    if (this.#items.length <= this.#capacity) return undefined;
    this.#droppedCount += 1;
    return this.#items.shift();
  }

  /** The next item, or undefined once closed. One taker at a time. */
  async take(): Promise<T | undefined> {
    const item = this.#items.shift();
    if (item !== undefined || this.#closed) return item;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#closed = true;
    this.#items.length = 0;
    this.#waiting?.(undefined);
    this.#waiting = undefined;
  }
}
