/** A command as it came off the wire, before anybody believes it. */
import type { EpochMs } from "../lib/brand.ts";
import type { ReplyAddress } from "./topics.ts";

/** MQTT 5 response properties: absent, under our own `response/`, or unusable (elsewhere, or bad correlation data). */
export type ReplyProperty =
  | { readonly kind: "none" }
  | { readonly kind: "ours"; readonly address: ReplyAddress }
  | { readonly kind: "foreign" };

export interface IncomingCommand {
  /** From the topic, e.g. `identity/put`. */
  readonly name: string;
  /** UTF-8 JSON of an envelope, when the sender is honest. */
  readonly bytes: Uint8Array;
  /** The retain flag as the sender set it: such a command may be any age. */
  readonly retained: boolean;
  readonly reply: ReplyProperty;
  /** MQTT 5 correlation data as UTF-8, at most 64 characters; anything else makes `reply` foreign. */
  readonly correlation?: string;
  readonly receivedAt: EpochMs;
}

/** Who is answered: `response/<kid>/<replyTo>`, with `correlation` echoed. */
export interface ReplyTarget extends ReplyAddress {
  readonly correlation: string;
}
