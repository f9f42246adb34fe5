/**
 * Is this message a decision that may be acted upon now? Copy this file: it needs nothing but node:crypto.
 * The same rules in Python are in `ostiary_consumer/verify.py`; `vectors.json` holds both to them.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";

export interface Decision {
  readonly id: string;
  /** `<site>/<device>`. */
  readonly device: string;
  readonly door: string;
  readonly camera: string;
  readonly outcome: "grant" | "deny";
  readonly reason: string;
  /** Who, when somebody was recognised. */
  readonly identity?: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

export const REFUSALS = [
  "too_large",
  "malformed",
  "retained",
  "unknown_key",
  "bad_signature",
  "not_a_decision",
  "misaddressed",
  "too_long_lived",
  "expired",
  "not_yet_valid",
  "before_start",
  "repeated",
  "overloaded",
] as const;
export type RefusalCode = (typeof REFUSALS)[number];

export type Verdict =
  | { readonly kind: "ok"; readonly decision: Decision }
  | { readonly kind: "refused"; readonly code: RefusalCode };

export interface VerifierOptions {
  /** `<site>/<device>` whose doors these are. */
  readonly device: string;
  /** The device's public key, raw 32 bytes in base64: copied by hand from the device, never from the broker. */
  readonly publicKey: string;
  /** How far the device's clock may run ahead of ours, ms. */
  readonly maxSkewMs?: number;
  /** No honest decision lives longer, ms. */
  readonly maxLifeMs?: number;
  readonly maxBytes?: number;
  /** Ids remembered until they expire; beyond it nothing is believed. */
  readonly maxIds?: number;
}

const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/;

export class DecisionVerifier {
  readonly #device: string;
  readonly #key: KeyObject;
  readonly #kid: string;
  readonly #maxSkewMs: number;
  readonly #maxLifeMs: number;
  readonly #maxBytes: number;
  readonly #maxIds: number;
  readonly #startedAtMs: number;
  /** id → when it expires. */
  readonly #seen = new Map<string, number>();
  /** Latest expiry of a forgotten id: up to it nothing is believed again, even if the clock is set back. */
  #forgottenUpToMs = Number.NEGATIVE_INFINITY;

  /**
   * @param startedAtMs now. What was issued before is refused: it may have been acted upon before this start,
   *   and the ids of that time are forgotten
   */
  constructor(options: VerifierOptions, startedAtMs: number) {
    const raw = Buffer.from(options.publicKey, "base64");
    if (raw.length !== 32) throw new Error("publicKey must be 32 bytes in base64");
    const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
    this.#key = createPublicKey({ key: spki, format: "der", type: "spki" });
    this.#kid = createHash("sha256").update(raw).digest("hex").slice(0, 16);
    this.#device = options.device;
    this.#maxSkewMs = options.maxSkewMs ?? 2000;
    this.#maxLifeMs = options.maxLifeMs ?? 60_000;
    this.#maxBytes = options.maxBytes ?? 16_384;
    this.#maxIds = options.maxIds ?? 10_000;
    this.#startedAtMs = startedAtMs;
  }

  /** Accepts each decision at most once. @param retained the MQTT retain flag of the message */
  check(message: Uint8Array, retained: boolean, nowMs: number): Verdict {
    if (message.byteLength > this.#maxBytes) return refused("too_large");
    const envelope = envelopeOf(message);
    if (envelope === undefined) return refused("malformed");
    if (retained) return refused("retained");
    if (envelope.kid !== this.#kid) return refused("unknown_key");
    if (!this.#isSigned(envelope)) return refused("bad_signature");

    const payload = parse(envelope.payload);
    if (!isRecord(payload) || payload["schema"] !== 1) return refused("malformed");
    if (payload["kind"] !== "decision") return refused("not_a_decision");
    if (payload["device"] !== this.#device) return refused("misaddressed");
    const decision = decisionOf(payload);
    if (decision === undefined) return refused("malformed");
    const untimely = this.#untimely(decision, nowMs);
    if (untimely !== undefined) return refused(untimely);
    return this.#isNew(decision, nowMs) ?? { kind: "ok", decision };
  }

  #isSigned(envelope: Envelope): boolean {
    if (!envelope.payload.isWellFormed()) return false;
    const signature = Buffer.from(envelope.sig, "base64");
    if (signature.length !== 64 || signature.toString("base64") !== envelope.sig) return false;
    return verify(null, Buffer.from(envelope.payload, "utf8"), this.#key, signature);
  }

  #untimely(decision: Decision, nowMs: number): RefusalCode | undefined {
    const lifeMs = decision.expiresAtMs - decision.issuedAtMs;
    if (!(lifeMs > 0) || lifeMs > this.#maxLifeMs) return "too_long_lived";
    if (!(Math.max(nowMs, this.#forgottenUpToMs) < decision.expiresAtMs)) return "expired";
    if (decision.issuedAtMs > nowMs + this.#maxSkewMs) return "not_yet_valid";
    if (decision.issuedAtMs <= this.#startedAtMs + this.#maxSkewMs) return "before_start";
    return undefined;
  }

  /** Remembers the id. @returns a refusal when it was seen, or when no more can be remembered */
  #isNew(decision: Decision, nowMs: number): Verdict | undefined {
    if (this.#seen.has(decision.id)) return refused("repeated");
    if (this.#seen.size >= this.#maxIds) {
      for (const [id, expiresAtMs] of this.#seen) {
        if (expiresAtMs > nowMs) continue;
        this.#seen.delete(id);
        this.#forgottenUpToMs = Math.max(this.#forgottenUpToMs, expiresAtMs);
      }
    }
    if (this.#seen.size >= this.#maxIds) return refused("overloaded");
    this.#seen.set(decision.id, decision.expiresAtMs);
    return undefined;
  }
}

interface Envelope {
  readonly payload: string;
  readonly kid: string;
  readonly sig: string;
}

function refused(code: RefusalCode): Verdict {
  return { kind: "refused", code };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function envelopeOf(message: Uint8Array): Envelope | undefined {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(message);
  } catch {
    return undefined;
  }
  const value = parse(text);
  if (!isRecord(value) || Object.keys(value).length !== 3) return undefined;
  const { payload, kid, sig } = value;
  if (typeof payload !== "string" || typeof kid !== "string" || typeof sig !== "string")
    return undefined;
  return { payload, kid, sig };
}

function decisionOf(payload: Readonly<Record<string, unknown>>): Decision | undefined {
  const { id, device, door, camera, outcome, reason, identity, issuedAt, expiresAt } = payload;
  if (typeof id !== "string" || id === "" || typeof device !== "string" || typeof door !== "string")
    return undefined;
  if (typeof camera !== "string" || typeof reason !== "string") return undefined;
  if (outcome !== "grant" && outcome !== "deny") return undefined;
  if (outcome === "grant" && typeof identity !== "string") return undefined;
  if (identity !== undefined && typeof identity !== "string") return undefined;
  const issuedAtMs = instantOf(issuedAt);
  const expiresAtMs = instantOf(expiresAt);
  if (issuedAtMs === undefined || expiresAtMs === undefined) return undefined;
  const known = { id, device, door, camera, outcome, reason, issuedAtMs, expiresAtMs } as const;
  return identity === undefined ? known : { ...known, identity };
}

/** RFC 3339 in UTC. */
function instantOf(value: unknown): number | undefined {
  if (typeof value !== "string" || !RFC3339.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isFinite(ms) ? ms : undefined;
}
