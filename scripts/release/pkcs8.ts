/** Private keys in files: PKCS #8, encrypted by PBES2 with scrypt and AES-256-CBC (RFC 5958, 8018, 7914 §7). */
import { createCipheriv, type KeyObject, randomBytes, scryptSync } from "node:crypto";

/** What OpenSSL still opens without being told to take more memory: 16 MiB, five times over. */
const COST = { N: 2 ** 14, r: 8, p: 5 };

const OID = {
  pbes2: "2a864886f70d01050d",
  scrypt: "2b06010401da47040b",
  aes256Cbc: "60864801650304012a",
};

/** @returns PEM that `openssl pkey` reads as well */
export function encryptedPem(key: KeyObject, passphrase: string, cost = COST): string {
  const salt = randomBytes(16);
  const iv = randomBytes(16);
  const derived = scryptSync(passphrase, salt, 32, { ...cost, maxmem: 2 ** 26 });
  const cipher = createCipheriv("aes-256-cbc", derived, iv);
  const plain = key.export({ type: "pkcs8", format: "der" });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  derived.fill(0);
  const { N, r, p } = cost;
  const derivation = sequence(
    oid(OID.scrypt),
    sequence(octets(salt), integer(N), integer(r), integer(p), integer(32)),
  );
  const encryption = sequence(oid(OID.aes256Cbc), octets(iv));
  const der = sequence(
    sequence(oid(OID.pbes2), sequence(derivation, encryption)),
    octets(encrypted),
  );
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${lines.join("\n")}\n-----END ENCRYPTED PRIVATE KEY-----\n`;
}

/** DER: tag, length, value; lengths up to 65535. */
function tagged(tag: number, value: Uint8Array): Buffer {
  const { length } = value;
  const head =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...head]), value]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, Buffer.concat(parts));
const octets = (bytes: Uint8Array): Buffer => tagged(0x04, bytes);
const oid = (hex: string): Buffer => tagged(0x06, Buffer.from(hex, "hex"));

/** Non-negative: a leading zero keeps the sign bit clear. */
function integer(value: number): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return tagged(0x02, (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}
