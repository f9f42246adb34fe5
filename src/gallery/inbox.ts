/** Commands and their effects, exactly once: the number is stored in the same transaction as the effect. */
import type { EpochMs } from "../lib/brand.ts";
import type { Answer } from "../lib/envelope.ts";
import type { RecordTransaction } from "./record.ts";

export interface CommandStamp {
  readonly id: string;
  readonly kid: string;
  readonly stream: string;
  readonly seq: number;
  readonly at: EpochMs;
}

export type CommandOutcome =
  | { readonly kind: "done"; readonly answer: Answer }
  /** The id is known: this is the stored answer; `effect` was not run. */
  | { readonly kind: "repeated"; readonly answer: Answer }
  /** Unknown id with a number that is not above the last one of its (key, stream). */
  | { readonly kind: "replayed" };

export interface CommandInbox {
  /** The stored answer of a command id of that key, if it was seen. */
  readonly answered: (kid: string, id: string) => Answer | undefined;
  /**
   * Checks id and number, runs `effect` and stores its answer, in one durable transaction. When `effect`
   * throws, nothing is stored. Gallery changes reach the listeners before this returns.
   */
  readonly commitCommand: (
    stamp: CommandStamp,
    effect: (tx: RecordTransaction) => Answer,
  ) => CommandOutcome;
  /** Replaces the stored answer of a long command by its final one, with the effect that ends it. */
  readonly finishCommand: (
    kid: string,
    id: string,
    at: EpochMs,
    effect: (tx: RecordTransaction) => Answer,
  ) => Answer;
}
