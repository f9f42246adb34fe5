/** Commands that were taken over from the broker and wait for `control`. */
import type { IncomingCommand } from "./command.ts";

export class CommandQueue implements AsyncIterable<IncomingCommand> {
  readonly #maxCommands: number;
  readonly #maxBytes: number;
  readonly #waiting: IncomingCommand[] = [];
  #bytes = 0;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(maxCommands: number, maxBytes: number) {
    this.#maxCommands = maxCommands;
    this.#maxBytes = maxBytes;
  }

  /** @returns false when it is full (by number or bytes) or closed: the sender must be told `busy` */
  put(command: IncomingCommand): boolean {
    if (this.#closed || this.#waiting.length >= this.#maxCommands) return false;
    if (this.#waiting.length > 0 && this.#bytes + command.bytes.byteLength > this.#maxBytes)
      return false;
    this.#waiting.push(command);
    this.#bytes += command.bytes.byteLength;
    this.#wake?.();
    return true;
  }

  /** Ends the iteration; what waits is dropped, its senders ask again. */
  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
    this.#wake?.();
  }

  /** One reader at a time. */
  async *[Symbol.asyncIterator](): AsyncGenerator<IncomingCommand> {
    while (!this.#closed) {
      const command = this.#waiting.shift();
      if (command !== undefined) {
        this.#bytes -= command.bytes.byteLength;
        yield command;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
