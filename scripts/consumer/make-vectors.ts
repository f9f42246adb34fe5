/**
 * Writes vectors.json: messages and what a verifying consumer must say to them, for both implementations.
 * The key is a fixed test key (RFC 8032 §7.1, test 2): it protects nothing.
 *
 *   scripts/node scripts/consumer/make-vectors.ts
 */
import { writeFileSync } from "node:fs";
import { seal, signerFromPem } from "../../src/mqtt/envelope.ts";
import type { RefusalCode } from "./verify.ts";

const pem = (seedHex: string): string => {
  const der = Buffer.from(`302e020100300506032b657004220420${seedHex}`, "hex").toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
};
const signer = signerFromPem(
  pem("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
);
const stranger = signerFromPem(
  pem("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
);

const STARTED = Date.UTC(2026, 0, 5, 9, 0, 0);
const NOW = STARTED + 60_000;
const at = (ms: number): string => new Date(ms).toISOString();

interface Step {
  readonly message: string;
  readonly retained: boolean;
  readonly nowMs: number;
  readonly expect: "grant" | "deny" | RefusalCode;
}

const grant = {
  schema: 1,
  kind: "decision",
  device: "lab/box",
  id: "0199-grant",
  issuedAt: at(NOW - 200),
  expiresAt: at(NOW + 4800),
  door: "front",
  camera: "hall",
  outcome: "grant",
  reason: "allowed",
  identity: "ada",
  scoreBand: "high",
};
const deny = {
  ...grant,
  id: "0199-deny",
  outcome: "deny",
  reason: "unknown",
  identity: undefined,
  scoreBand: "low",
};
const event = {
  schema: 1,
  kind: "event",
  device: "lab/box",
  seq: 7,
  type: "decision",
  at: at(NOW - 200),
  actionable: false,
  body: { id: "0199-grant", outcome: "grant", door: "front" },
};

const sealed = (payload: unknown, by = signer): string =>
  JSON.stringify(seal(JSON.stringify(payload), by));
const step = (message: string, expect: Step["expect"], more: Partial<Step> = {}): Step => ({
  message,
  retained: false,
  nowMs: NOW,
  expect,
  ...more,
});
const flip = (text: string, index: number): string =>
  `${text.slice(0, index)}${String.fromCharCode(text.charCodeAt(index) ^ 1)}${text.slice(index + 1)}`;
const without = (key: string): unknown => ({ ...grant, [key]: undefined });

const envelope = seal(JSON.stringify(grant), signer);
const cases: Readonly<Record<string, readonly Step[]>> = {
  "a valid grant": [step(sealed(grant), "grant")],
  "a valid denial": [step(sealed(deny), "deny")],
  "a decision of the next minute": [
    step(
      sealed({
        ...deny,
        id: "0199-later",
        issuedAt: at(NOW + 60_000),
        expiresAt: at(NOW + 65_000),
      }),
      "deny",
      { nowMs: NOW + 60_100 },
    ),
  ],
  "an unknown field is no obstacle": [step(sealed({ ...grant, colour: "blue" }), "grant")],
  "in the last millisecond": [step(sealed(grant), "grant", { nowMs: NOW + 4799 })],
  "expired to the millisecond": [step(sealed(grant), "expired", { nowMs: NOW + 4800 })],
  "expired hours ago": [step(sealed(grant), "expired", { nowMs: NOW + 3 * 3_600_000 })],
  "issued within the skew": [step(sealed(grant), "grant", { nowMs: NOW - 2200 })],
  "issued beyond the skew": [step(sealed(grant), "not_yet_valid", { nowMs: NOW - 2201 })],
  "a life too long": [step(sealed({ ...grant, expiresAt: at(NOW + 3_600_000) }), "too_long_lived")],
  "a life of nothing": [step(sealed({ ...grant, expiresAt: grant.issuedAt }), "too_long_lived")],
  "issued before this consumer started": [
    step(
      sealed({ ...grant, issuedAt: at(STARTED + 2000), expiresAt: at(STARTED + 7000) }),
      "before_start",
      { nowMs: STARTED + 3000 },
    ),
  ],
  "another key": [step(sealed(grant, stranger), "unknown_key")],
  "another key under the device's name": [
    step(
      JSON.stringify({ ...seal(JSON.stringify(grant), stranger), kid: signer.kid }),
      "bad_signature",
    ),
  ],
  "a bit of the payload flipped": [
    step(
      JSON.stringify({
        ...envelope,
        payload: flip(envelope.payload, envelope.payload.indexOf("front")),
      }),
      "bad_signature",
    ),
  ],
  "a bit of the signature flipped": [
    step(
      JSON.stringify({
        ...envelope,
        sig: `${envelope.sig[0] === "A" ? "B" : "A"}${envelope.sig.slice(1)}`,
      }),
      "bad_signature",
    ),
  ],
  "spare bits of the signature's base64": [
    step(JSON.stringify({ ...envelope, sig: respell(envelope.sig) }), "bad_signature"),
  ],
  "a lone surrogate for a signed replacement character": [
    step(
      JSON.stringify(seal(JSON.stringify({ ...grant, door: "\ufffd" }), signer)).replace(
        "\ufffd",
        "\\ud800",
      ),
      "bad_signature",
    ),
  ],
  "no signature": [
    step(JSON.stringify({ payload: envelope.payload, kid: envelope.kid }), "malformed"),
  ],
  "a bare payload": [step(JSON.stringify(grant), "malformed")],
  "a fourth key in the envelope": [step(JSON.stringify({ ...envelope, alg: "none" }), "malformed")],
  "another device": [step(sealed({ ...grant, device: "lab/bax" }), "misaddressed")],
  "an event posing as a decision": [step(sealed(event), "not_a_decision")],
  "an event with every field of a decision": [
    step(sealed({ ...grant, kind: "event", actionable: false }), "not_a_decision"),
  ],
  retained: [step(sealed(grant), "retained", { retained: true })],
  "the same message twice": [
    step(sealed(grant), "grant"),
    step(sealed(grant), "repeated", { nowMs: NOW + 100 }),
  ],
  "the same id with another body": [
    step(sealed(grant), "grant"),
    step(sealed({ ...grant, door: "back" }), "repeated"),
  ],
  "two people in a row": [step(sealed(grant), "grant"), step(sealed(deny), "deny")],
  "a refused one does not use up its id": [
    step(sealed(grant), "retained", { retained: true }),
    step(sealed(grant), "grant"),
  ],
  huge: [step(sealed({ ...grant, pad: "x".repeat(20_000) }), "too_large")],
  empty: [step("", "malformed")],
  "not JSON": [step("{", "malformed")],
  "an array": [step("[1,2,3]", "malformed")],
  "a payload that is no object": [
    step(sealed([1]), "malformed"),
    step(JSON.stringify(seal("x", signer)), "malformed"),
  ],
  "another schema": [step(sealed({ ...grant, schema: 2 }), "malformed")],
  "another outcome": [step(sealed({ ...grant, outcome: "maybe" }), "malformed")],
  "a grant for nobody": [step(sealed(without("identity")), "malformed")],
  "a time with an offset": [
    step(sealed({ ...grant, issuedAt: "2026-01-05T10:00:59.800+01:00" }), "malformed"),
  ],
  "a time that is a number": [step(sealed({ ...grant, expiresAt: NOW + 4800 }), "malformed")],
  "a day that does not exist": [
    step(sealed({ ...grant, expiresAt: "2026-13-45T09:01:04.800Z" }), "malformed"),
  ],
  ...Object.fromEntries(
    ["id", "door", "camera", "outcome", "reason", "issuedAt", "expiresAt"].map((key) => [
      `without ${key}`,
      [step(sealed(without(key)), "malformed")],
    ]),
  ),
};

/** The last character of 64 bytes in base64 carries four bits that mean nothing: sets one. */
function respell(sig: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return `${sig.slice(0, 85)}${alphabet[alphabet.indexOf(sig[85] as string) ^ 1]}==`;
}

const vectors = {
  madeBy: "scripts/node scripts/consumer/make-vectors.ts",
  options: {
    device: "lab/box",
    publicKey: signer.publicKey,
    maxSkewMs: 2000,
    maxLifeMs: 60_000,
    maxBytes: 16_384,
  },
  startedAtMs: STARTED,
  cases: Object.entries(cases).map(([name, steps]) => ({ name, steps })),
};
writeFileSync(new URL("vectors.json", import.meta.url), `${JSON.stringify(vectors, null, 1)}\n`);
