/** The states this device keeps on the broker: one newest value per topic, sent when it changes or was lost. */
import { Fault } from "../lib/fault.ts";

const TOPICS_MAX = 256;
const VALUE_MAX_BYTES = 64 * 1024;

export class RetainedStates {
  readonly #values = new Map<string, string>();
  readonly #dirty = new Set<string>();

  /** @returns true when it must be published. @throws Fault `too_many_topics`, `state_too_large` */
  set(topic: string, value: Readonly<Record<string, unknown>>): boolean {
    const text = JSON.stringify(value);
    if (this.#values.get(topic) === text) return false;
    if (!this.#values.has(topic) && this.#values.size >= TOPICS_MAX) {
      throw new Fault(
        "too_many_topics",
        `more than ${TOPICS_MAX} retained topics: this device has too many cameras or doors`,
      );
    }
    if (Buffer.byteLength(text) > VALUE_MAX_BYTES) {
      throw new Fault("state_too_large", `a retained state is at most ${VALUE_MAX_BYTES} bytes`);
    }
    this.#values.set(topic, text);
    this.#dirty.add(topic);
    return true;
  }

  get(topic: string): string | undefined {
    return this.#values.get(topic);
  }

  markDirty(topic: string): void {
    if (this.#values.has(topic)) this.#dirty.add(topic);
  }

  markAllDirty(): void {
    for (const topic of this.#values.keys()) this.#dirty.add(topic);
  }

  take(): { readonly topic: string; readonly text: string } | undefined {
    for (const topic of this.#dirty) {
      this.#dirty.delete(topic);
      const text = this.#values.get(topic);
      if (text !== undefined) return { topic, text };
    }
    return undefined;
  }
}
