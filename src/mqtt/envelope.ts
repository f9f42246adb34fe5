/** Ed25519 over the exact payload bytes (RFC 8032), with keys named by their sha256. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from "node:crypto";
import type { Envelope } from "../lib/envelope.ts";
import { Fault } from "../lib/fault.ts";

/** What holds a private key. `kid` names the public half. */
export interface Signer {
  readonly kid: string;
  /** @returns 64 bytes */
  readonly sign: (bytes: Uint8Array) => Uint8Array;
}

/** DER of SubjectPublicKeyInfo for Ed25519, up to the 32 raw bytes (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** First 16 hex digits of the sha256 of the raw public key. */
export function keyIdOf(rawPublicKey: Uint8Array): string {
  return createHash("sha256").update(rawPublicKey).digest("hex").slice(0, 16);
}

/** The raw 32 bytes of a key object's public half. @throws Fault `not_ed25519` */
export function rawPublicKeyOf(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType !== "ed25519") {
    throw new Fault(
      "not_ed25519",
      `the key is ${key.asymmetricKeyType ?? "symmetric"}: make an Ed25519 one with "ostiary keys new"`,
    );
  }
  const spki = (key.type === "private" ? createPublicKey(key) : key).export({
    type: "spki",
    format: "der",
  });
  return new Uint8Array(spki.subarray(SPKI_PREFIX.length));
}

/** @param base64 the raw 32 bytes, as in `info` and in the configuration. @throws Fault `bad_public_key` */
export function publicKeyFrom(base64: string): KeyObject {
  const raw = Buffer.from(base64, "base64");
  if (raw.length !== 32 || raw.toString("base64") !== base64) {
    throw new Fault(
      "bad_public_key",
      "a public key is 32 bytes in base64 (44 characters): copy it from the key's .pub line",
    );
  }
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, raw]), format: "der", type: "spki" });
}

/** @param key Ed25519 private key. @throws Fault `not_ed25519` */
export function signerOf(key: KeyObject): Signer & { readonly publicKey: string } {
  const raw = rawPublicKeyOf(key);
  return {
    kid: keyIdOf(raw),
    publicKey: Buffer.from(raw).toString("base64"),
    sign: (bytes) => signBytes(null, bytes, key),
  };
}

/** @param pem PKCS#8 of an Ed25519 private key. @throws Fault `bad_private_key`, `not_ed25519` */
export function signerFromPem(pem: string): Signer & { readonly publicKey: string } {
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // The cause may quote the key's text: it is left out.
    throw new Fault(
      "bad_private_key",
      'the key file holds no PEM private key: make one with "ostiary keys new"',
    );
  }
  return signerOf(key);
}

export function seal(payload: string, signer: Signer): Envelope {
  return {
    payload,
    kid: signer.kid,
    sig: Buffer.from(signer.sign(Buffer.from(payload, "utf8"))).toString("base64"),
  };
}

/** Known public keys, parsed once: `verify(kid, …)` is false for an unknown one. */
export class KeyRing {
  readonly #keys = new Map<string, KeyObject>();

  /** @param publicKeys raw, base64 */
  constructor(publicKeys: readonly string[]) {
    for (const text of publicKeys) {
      const key = publicKeyFrom(text);
      this.#keys.set(keyIdOf(rawPublicKeyOf(key)), key);
    }
  }

  readonly has = (kid: string): boolean => this.#keys.has(kid);

  readonly verify = (envelope: Envelope): boolean => {
    const key = this.#keys.get(envelope.kid);
    if (key === undefined) return false;
    // Lone surrogates become U+FFFD in UTF-8: two texts, one signature.
    if (!envelope.payload.isWellFormed()) return false;
    const sig = Buffer.from(envelope.sig, "base64");
    // Two base64 texts may decode to the same bytes; only the canonical one is an envelope.
    if (sig.length !== 64 || sig.toString("base64") !== envelope.sig) return false;
    return verifyBytes(null, Buffer.from(envelope.payload, "utf8"), key, sig);
  };
}
