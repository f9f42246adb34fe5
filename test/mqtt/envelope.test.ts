import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { Envelope } from "../../src/lib/envelope.ts";
import {
  KeyRing,
  keyIdOf,
  publicKeyFrom,
  rawPublicKeyOf,
  seal,
  signerFromPem,
} from "../../src/mqtt/envelope.ts";
import { newSigner } from "./harness.ts";

/** RFC 8032 §7.1, test 2. */
const RFC = {
  pkcs8:
    "302e020100300506032b657004220420" +
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
  publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
  message: "72",
  signature:
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
};

test("signs as RFC 8032 says", () => {
  const der = Buffer.from(RFC.pkcs8, "hex").toString("base64");
  const signer = signerFromPem(`-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`);
  assert.equal(
    Buffer.from(signer.sign(Buffer.from(RFC.message, "hex"))).toString("hex"),
    RFC.signature,
  );
  assert.equal(Buffer.from(signer.publicKey, "base64").toString("hex"), RFC.publicKey);
  assert.equal(signer.kid, keyIdOf(Buffer.from(RFC.publicKey, "hex")));
  assert.deepEqual(
    Buffer.from(rawPublicKeyOf(publicKeyFrom(signer.publicKey))).toString("hex"),
    RFC.publicKey,
  );
});

test("seals any text so that only its key verifies it", () => {
  const signer = newSigner();
  const ring = new KeyRing([signer.publicKey]);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const sent = Envelope.parse(JSON.parse(JSON.stringify(seal(text, signer))));
      return (
        ring.verify(sent) &&
        !new KeyRing([newSigner().publicKey]).verify(sent) &&
        !ring.verify({ ...sent, payload: `${text} ` })
      );
    }),
    { numRuns: 50 },
  );
});

test("the signature's text is canonical: spare bits of base64 are no second form", () => {
  const signer = newSigner();
  const sent = seal("x", signer);
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const index = last.indexOf(sent.sig[85] as string);
  const sig = `${sent.sig.slice(0, 85)}${last[index ^ 1]}==`;
  assert.equal(new KeyRing([signer.publicKey]).verify({ ...sent, sig }), false);
});

test("bad keys are faults that quote nothing of them", () => {
  assert.throws(() => publicKeyFrom("AAAA"), { code: "bad_public_key" });
  assert.throws(
    () => signerFromPem("secret"),
    (thrown: Error) =>
      "code" in thrown && thrown.code === "bad_private_key" && !thrown.message.includes("secret"),
  );
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  assert.throws(() => signerFromPem(pem), { code: "not_ed25519" });
});

test("a lone surrogate is not taken for the replacement character that was signed", () => {
  const signer = newSigner();
  const sent = seal("a\ufffdb", signer);
  const ring = new KeyRing([signer.publicKey]);
  assert.ok(ring.verify(sent));
  assert.equal(ring.verify({ ...sent, payload: "a\ud800b" }), false);
});
