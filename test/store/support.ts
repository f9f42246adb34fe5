/** A store in a directory of its own, with chance that can be repeated. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityFields } from "../../src/gallery/identity.ts";
import type { CommandStamp } from "../../src/gallery/inbox.ts";
import { type EpochMs, epochMs, type IdentityId, type SpaceId } from "../../src/lib/brand.ts";
import { deviceKeyOf } from "../../src/store/device-key.ts";
import { StoreLimits } from "../../src/store/limits.ts";
import type { RandomBytes } from "../../src/store/sealing.ts";
import { Store } from "../../src/store/store.ts";
import { RecordingLog } from "../support/log.ts";

export const space = "space-1" as SpaceId;
export const now: EpochMs = epochMs(Date.UTC(2026, 0, 5, 9));
export const idOf = (text: string): IdentityId => text as IdentityId;

/** xorshift32: repeatable, in [0, 1). */
export function seeded(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  };
}

export function seededBytes(seed: number): RandomBytes {
  const random = seeded(seed);
  return (size) => Uint8Array.from({ length: size }, () => Math.floor(random() * 256));
}

export function unitVector(random: () => number, dimension = 16): Float32Array {
  const raw = Float32Array.from({ length: dimension }, () => random() + random() + random() - 1.5);
  const length = Math.hypot(...raw);
  return raw.map((value) => value / length);
}

export const person = (id: string, more: Record<string, unknown> = {}): IdentityFields =>
  IdentityFields.parse({ id, displayName: `Name of ${id}`, ...more });

export const stamp = (seq: number, more: Partial<CommandStamp> = {}): CommandStamp => ({
  id: `command-${seq}`,
  kid: "0123456789abcdef",
  stream: "stream-1",
  seq,
  at: now,
  ...more,
});

export class StoreDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "ostiary-store-"));
  readonly log = new RecordingLog();
  readonly randomBytes: RandomBytes = seededBytes(7);
  readonly keyBytes = Uint8Array.from({ length: 32 }, (_, index) => index);

  open(limits: Partial<StoreLimits> = {}): Store {
    const { path: directory, log, randomBytes } = this;
    const keys = deviceKeyOf(this.keyBytes, randomBytes);
    return Store.open({ directory, keys, limits: StoreLimits.parse(limits) }, { log, randomBytes });
  }

  /** Names of the files that hold these bytes. */
  filesWith(bytes: Uint8Array): string[] {
    return readdirSync(this.path).filter((name) =>
      readFileSync(join(this.path, name)).includes(Buffer.from(bytes)),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
