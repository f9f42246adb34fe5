/**
 * AES-256-GCM under one key, with what the bytes belong to as associated data: a row moved to another
 * place does not open. Layout of a sealed value: nonce (12) · ciphertext · tag (16).
 */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from "node:crypto";
import { Fault } from "../lib/fault.ts";

export type RandomBytes = (size: number) => Uint8Array;

export const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const SEAL_OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES;

/** Something sealed does not open: another key, another place, or changed bytes. */
export class SealBroken extends Fault {
  constructor(place: string) {
    super(
      "seal_broken",
      `${place} does not open under its key and place: it was damaged, moved, or sealed by another device`,
    );
  }
}

/** A symmetric key that cannot be printed. */
export class SealingKey {
  readonly #key: KeyObject;
  readonly #randomBytes: RandomBytes;

  /** Copies `bytes`; the caller wipes its own. */
  constructor(bytes: Uint8Array, randomBytes: RandomBytes) {
    if (bytes.length !== KEY_BYTES)
      throw new Fault("invalid_key", `a sealing key has ${KEY_BYTES} bytes, not ${bytes.length}`);
    this.#key = createSecretKey(bytes);
    this.#randomBytes = randomBytes;
  }

  /** @param place what the value is and where it belongs, e.g. `template_set|ann|space-1|1` */
  seal(plain: Uint8Array, place: string): Uint8Array {
    const nonce = this.#randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(place, "utf8"));
    const body = cipher.update(plain);
    return Buffer.concat([nonce, body, cipher.final(), cipher.getAuthTag()]);
  }

  /** @throws SealBroken */
  open(sealed: Uint8Array, place: string): Buffer {
    if (sealed.length < SEAL_OVERHEAD_BYTES) throw new SealBroken(placeKind(place));
    const decipher = createDecipheriv("aes-256-gcm", this.#key, sealed.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(place, "utf8"));
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
    try {
      const body = decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES));
      const tail = decipher.final();
      return tail.length === 0 ? body : Buffer.concat([body, tail]);
    } catch {
      throw new SealBroken(placeKind(place));
    }
  }
}

/** Table and row of a place: enough to find it, without the values bound behind them. */
function placeKind(place: string): string {
  return place.split("|").slice(0, 2).join(" ");
}
