import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { epochMs } from "../../src/lib/brand.ts";
import type { CommandPayload, RefusalCode } from "../../src/lib/envelope.ts";
import { type AuthorityContext, checkCommand } from "../../src/mqtt/authority.ts";
import type { IncomingCommand } from "../../src/mqtt/command.ts";
import { KeyRing, seal } from "../../src/mqtt/envelope.ts";
import { newSigner } from "./harness.ts";

const NOW_S = 1_760_000_000;
const signer = newSigner();
const other = newSigner();
const ring = new KeyRing([signer.publicKey, other.publicKey]);
const context: AuthorityContext = {
  has: ring.has,
  verify: ring.verify,
  audience: "lab/box",
  now: epochMs(NOW_S * 1000),
  maxBytes: 10_000,
  skewSeconds: 5,
};
const good: CommandPayload = {
  schema: 1,
  id: "command-1",
  cmd: "identity/put",
  args: { id: "ada", displayName: "Ada" },
  aud: "lab/box",
  kid: signer.kid,
  stream: "stream-1",
  seq: 1,
  iat: NOW_S - 1,
  exp: NOW_S + 29,
  replyTo: "me",
  correlation: "c-1",
};

const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "utf8"));
const bytesOf = (payload: unknown, by = signer): Uint8Array =>
  utf8(JSON.stringify(seal(JSON.stringify(payload), by)));

function incoming(bytes: Uint8Array, more: Partial<IncomingCommand> = {}): IncomingCommand {
  const reply = { kind: "ours", address: { kid: signer.kid, replyTo: "me" } } as const;
  return {
    name: "identity/put",
    bytes,
    retained: false,
    reply,
    correlation: "c-1",
    receivedAt: context.now,
    ...more,
  };
}

const codeOf = (raw: IncomingCommand, more: Partial<AuthorityContext> = {}): RefusalCode | "ok" => {
  const verdict = checkCommand(raw, { ...context, ...more });
  return verdict.kind === "ok" ? "ok" : verdict.code;
};

describe("checkCommand", () => {
  test("a good command passes, with its payload and where to answer", () => {
    const verdict = checkCommand(incoming(bytesOf(good)), context);
    assert.deepEqual(verdict, {
      kind: "ok",
      payload: good,
      replyTo: { kid: signer.kid, replyTo: "me", correlation: "c-1" },
    });
  });

  test("MQTT 5 reply properties may be absent", () => {
    const { correlation: _, ...bare } = incoming(bytesOf(good), { reply: { kind: "none" } });
    assert.equal(codeOf(bare), "ok");
  });

  const refused: readonly (readonly [string, RefusalCode, IncomingCommand])[] = [
    ["too large", "too_large", incoming(bytesOf({ ...good, args: "x".repeat(10_000) }))],
    ["not JSON", "malformed", incoming(utf8("{"))],
    ["not UTF-8", "malformed", incoming(new Uint8Array([0xff, 0xfe]))],
    ["another shape", "malformed", incoming(utf8('{"payload":"","kid":"x"}'))],
    [
      "an extra key in the envelope",
      "malformed",
      incoming(utf8(JSON.stringify({ ...seal("{}", signer), x: 1 }))),
    ],
    ["unsigned", "unsigned", incoming(utf8(JSON.stringify(good)))],
    ["retained", "retained", incoming(bytesOf(good), { retained: true })],
    ["an unknown key", "unknown_key", incoming(bytesOf({ ...good }, newSigner()))],
    [
      "another known key's name",
      "bad_signature",
      incoming(utf8(JSON.stringify({ ...seal(JSON.stringify(good), signer), kid: other.kid }))),
    ],
    ["a payload that names another key", "bad_signature", incoming(bytesOf(good, other))],
    ["no command inside", "malformed", incoming(bytesOf({ ...good, seq: "1" }))],
    ["an extra key in the payload", "malformed", incoming(bytesOf({ ...good, x: 1 }))],
    ["another device", "misaddressed", incoming(bytesOf({ ...good, aud: "lab/bax" }))],
    ["another topic", "wrong_command", incoming(bytesOf(good), { name: "identity/erase" })],
    [
      "another response topic",
      "mismatched_reply",
      incoming(bytesOf(good), {
        reply: { kind: "ours", address: { kid: signer.kid, replyTo: "you" } },
      }),
    ],
    [
      "a foreign response topic",
      "mismatched_reply",
      incoming(bytesOf(good), { reply: { kind: "foreign" } }),
    ],
    ["other correlation data", "mismatched_reply", incoming(bytesOf(good), { correlation: "c-2" })],
    ["expired", "expired", incoming(bytesOf({ ...good, iat: NOW_S - 30, exp: NOW_S }))],
    ["too long a life", "expired", incoming(bytesOf({ ...good, iat: NOW_S, exp: NOW_S + 61 }))],
    ["exp before iat", "expired", incoming(bytesOf({ ...good, iat: NOW_S + 4, exp: NOW_S + 3 }))],
    [
      "from the future",
      "not_yet_valid",
      incoming(bytesOf({ ...good, iat: NOW_S + 6, exp: NOW_S + 30 })),
    ],
  ];
  for (const [name, code, raw] of refused) {
    test(`refuses ${name}: ${code}`, () => assert.equal(codeOf(raw), code));
  }

  test("whoever is not believed is told only under response/, and hears nothing of the command", () => {
    const verdict = checkCommand(
      incoming(bytesOf({ ...good, args: "secret" }, newSigner())),
      context,
    );
    assert.ok(verdict.kind === "refused");
    assert.deepEqual(verdict.replyTo, { kid: signer.kid, replyTo: "me", correlation: "c-1" });
    assert.doesNotMatch(verdict.message, /secret/);
    const silent = checkCommand(
      incoming(bytesOf(good, newSigner()), { reply: { kind: "foreign" } }),
      context,
    );
    assert.ok(silent.kind === "refused" && silent.replyTo === undefined);
  });

  test("any one flipped bit is refused", () => {
    const bytes = bytesOf(good);
    fc.assert(
      fc.property(fc.nat(bytes.length * 8 - 1), (bit) => {
        const flipped = bytes.slice();
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
        return codeOf(incoming(flipped)) !== "ok";
      }),
      { numRuns: 2000 },
    );
  });

  test("any changed field is refused when the signature stays", () => {
    const { sig, kid } = seal(JSON.stringify(good), signer);
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(good)), fc.jsonValue(), (key, value) => {
        const payload = JSON.stringify({ ...good, [key]: value });
        fc.pre(payload !== JSON.stringify(good));
        return codeOf(incoming(utf8(JSON.stringify({ payload, kid, sig })))) === "bad_signature";
      }),
      { numRuns: 500 },
    );
  });

  test("no bytes make it throw, and only signed ones pass", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => codeOf(incoming(bytes)) !== "ok"),
    );
    fc.assert(fc.property(fc.json(), (text) => codeOf(incoming(utf8(text))) !== "ok"));
    fc.assert(
      fc.property(fc.jsonValue(), (value) => codeOf(incoming(bytesOf(value))) === "malformed"),
    );
  });

  test("life and skew: accepted exactly in [iat − skew, exp)", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -100, max: 100 }),
        fc.integer({ min: 1, max: 60 }),
        (offset, life) => {
          const iat = NOW_S + offset;
          const isOk = codeOf(incoming(bytesOf({ ...good, iat, exp: iat + life }))) === "ok";
          return isOk === (offset <= 5 && offset + life > 0);
        },
      ),
    );
  });
});
