/** Chance as a dependency. */
import { randomBytes as cryptoBytes } from "node:crypto";
import type { EpochMs } from "../lib/brand.ts";

export interface Random {
  readonly bytes: (count: number) => Uint8Array;
  /** Uniform in [0, 1), 32 bits of it. */
  readonly unit: () => number;
  /** Time-ordered and unique (UUID version 7, RFC 9562 §5.7). */
  readonly id: (at: EpochMs) => string;
}

export function createRandom(): Random {
  return {
    bytes: (count) => new Uint8Array(cryptoBytes(count)),
    unit: () => cryptoBytes(4).readUInt32BE(0) / 2 ** 32,
    id: (at) => uuid7(at, cryptoBytes(10)),
  };
}

/** @param entropy at least 10 random bytes */
export function uuid7(at: EpochMs, entropy: Uint8Array): string {
  const bytes = Buffer.alloc(16);
  bytes.writeUIntBE(Math.max(0, Math.floor(at)) % 2 ** 48, 0, 6);
  bytes.set(entropy.subarray(0, 10), 6);
  bytes[6] = 0x70 | ((bytes[6] as number) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] as number) & 0x3f);
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
