/**
 * The desired state: what the director says that one device should run. The second authority beside
 * TUF (Uptane's director): TUF says that a pack is genuine, this says that it is wanted here and now.
 * It travels as an `Envelope` signed by the director's key, on the retained topic `update/desired` or
 * as a file of the repository. A copy that is old, replayed or for another device moves nothing.
 */
import { z } from "zod";
import type { EpochMs } from "../lib/brand.ts";
import { PackIdSchema } from "../lib/id.ts";
import { parseJson } from "../lib/json.ts";
import { Sha256 } from "./repository.ts";

const instant = z.iso.datetime({ offset: true });

export const DesiredState = z.strictObject({
  schema: z.literal(1),
  kind: z.literal("desired"),
  /** `<site>/<device>`: a document for another device is refused. */
  aud: z.string().min(3).max(129),
  /** Names one rollout of one pack. */
  jobId: z.string().regex(/^[A-Za-z0-9_-]{8,64}$/),
  /** Increases with every document of this director key for this device; a lower one is replayed. */
  seq: z.int().nonnegative(),
  pack: z.strictObject({
    id: PackIdSchema,
    /** Of `pack.json`. */
    sha256: Sha256,
    releaseCounter: z.int().nonnegative(),
  }),
  ring: z.string().regex(/^[a-z0-9-]{1,32}$/),
  issuedAt: instant,
  /** The device may begin within this window; outside of it the document waits, then has expired. */
  from: instant,
  until: instant,
  /** Lowers this device's release floor to that counter: the only way to an older pack. */
  allowRollbackTo: z.int().nonnegative().optional(),
  /** A pack that failed here is tried again only by a document with a higher one. */
  attemptEpoch: z.int().nonnegative().default(0),
});
export type DesiredState = z.infer<typeof DesiredState>;

export type DesiredVerdict =
  | { readonly kind: "wanted"; readonly desired: DesiredState }
  | { readonly kind: "early"; readonly desired: DesiredState; readonly fromMs: EpochMs }
  | {
      readonly kind: "refused";
      readonly code: "malformed" | "misaddressed" | "replayed" | "expired";
      readonly message: string;
    };

export interface DesiredContext {
  /** `<site>/<device>` of this device. */
  readonly address: string;
  /** Not before the time floor: the clock may have been set back. */
  readonly now: EpochMs;
  /** The highest `seq` that was accepted from that key, with its `jobId`; undefined when there was none. */
  readonly last: { readonly seq: number; readonly jobId: string } | undefined;
}

/**
 * Judges a payload whose signature has been verified. The same document again is `wanted` again: it is
 * retained, and comes with every connection.
 *
 * @param payload the exact text that was signed
 */
export function judgeDesired(payload: string, context: DesiredContext): DesiredVerdict {
  const parsed = DesiredState.safeParse(parseJson(payload));
  if (!parsed.success)
    return refused(
      "malformed",
      `the desired state is no valid document: ${z.prettifyError(parsed.error).slice(0, 300)}; publish it again`,
    );
  const desired = parsed.data;
  const { last } = context;
  if (desired.aud !== context.address)
    return refused(
      "misaddressed",
      `the desired state is for ${desired.aud}, this is ${context.address}`,
    );
  const isOld = last !== undefined && desired.seq < last.seq;
  const isOther = last !== undefined && desired.seq === last.seq && desired.jobId !== last.jobId;
  if (isOld || isOther)
    return refused(
      "replayed",
      `the desired state has number ${desired.seq}, ${last?.seq} was seen: publish a new one`,
    );
  if (context.now > Date.parse(desired.until))
    return refused(
      "expired",
      `the desired state was good until ${desired.until}: publish a new one`,
    );
  const fromMs = Date.parse(desired.from) as EpochMs;
  return context.now < fromMs ? { kind: "early", desired, fromMs } : { kind: "wanted", desired };
}

type Refused = Extract<DesiredVerdict, { readonly kind: "refused" }>;

function refused(code: Refused["code"], message: string): Refused {
  return { kind: "refused", code, message };
}
