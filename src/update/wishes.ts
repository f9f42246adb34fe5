/**
 * What the director wants: documents as they come from the broker and from the repository, each verified
 * and judged, and the newest kept. Coming twice changes nothing; an old one never comes back.
 */
import type { EpochMs } from "../lib/brand.ts";
import { Envelope } from "../lib/envelope.ts";
import { parseJson } from "../lib/json.ts";
import { type DesiredState, judgeDesired } from "../release/desired.ts";
import type { UpdateJob } from "../release/journal.ts";
import type { UpdateJournal } from "../release/journal-port.ts";

export interface WishesOptions {
  /** `<site>/<device>` of this device. */
  readonly address: string;
}

export interface WishesDeps {
  readonly journal: UpdateJournal;
  /** Whether a director's key that this device has pinned signed it. */
  readonly verify: (envelope: Envelope) => boolean;
}

export interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Largest document, bytes. */
const DOCUMENT_MAX_BYTES = 64 * 1024;

export class Wishes {
  readonly #options: WishesOptions;
  readonly #deps: WishesDeps;
  #payload: { readonly text: string; readonly kid: string } | undefined;

  constructor(options: WishesOptions, deps: WishesDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /**
   * Takes a document in.
   *
   * @param now not before the time floor
   * @returns why it moves nothing; undefined when it is the newest, or came before
   */
  hear(text: string, now: EpochMs): Refusal | undefined {
    if (Buffer.byteLength(text) > DOCUMENT_MAX_BYTES)
      return { code: "desired_too_large", message: "the desired state is too large" };
    const envelope = Envelope.safeParse(parseJson(text));
    if (!envelope.success)
      return {
        code: "desired_malformed",
        message: "the desired state is no envelope {payload, kid, sig}; publish it again",
      };
    if (!this.#deps.verify(envelope.data))
      return {
        code: "desired_signature",
        message: "the desired state is not signed by a director key that this device trusts",
      };
    const { payload, kid } = envelope.data;
    const last = this.#deps.journal.lastDesired(kid);
    const verdict = judgeDesired(payload, { address: this.#options.address, now, last });
    if (verdict.kind === "refused")
      return { code: `desired_${verdict.code}`, message: verdict.message };
    const { seq, jobId } = verdict.desired;
    if (last === undefined || seq > last.seq)
      this.#deps.journal.change({ desired: { kid, seq, jobId } }, now);
    this.#payload = { text: payload, kid };
    return undefined;
  }

  /** What is wanted now, or from when on; undefined when nothing is, or not any more. */
  current(now: EpochMs):
    | {
        readonly desired: DesiredState;
        /** Not to be begun before. */
        readonly fromMs: EpochMs | undefined;
      }
    | undefined {
    if (this.#payload === undefined) return undefined;
    const { text, kid } = this.#payload;
    const last = this.#deps.journal.lastDesired(kid);
    const verdict = judgeDesired(text, { address: this.#options.address, now, last });
    if (verdict.kind !== "refused")
      return {
        desired: verdict.desired,
        fromMs: verdict.kind === "early" ? verdict.fromMs : undefined,
      };
    this.#payload = undefined;
    return undefined;
  }
}

export function jobOf(desired: DesiredState): UpdateJob {
  const { jobId, ring, attemptEpoch, until, allowRollbackTo } = desired;
  return {
    jobId,
    ring,
    attemptEpoch,
    untilMs: Date.parse(until),
    ...(allowRollbackTo === undefined ? {} : { allowRollbackTo }),
  };
}
