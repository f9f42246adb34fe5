/** The wrapped keys: one per identity, and one for what belongs to nobody in particular. */

import { Fault } from "../lib/fault.ts";
import type { Connection } from "./connection.ts";
import type { DeviceKey } from "./device-key.ts";
import {
  KEY_BYTES,
  type RandomBytes,
  SEAL_OVERHEAD_BYTES,
  SealBroken,
  SealingKey,
} from "./sealing.ts";

const WRAPPED_BYTES = KEY_BYTES + SEAL_OVERHEAD_BYTES;
const EMPTY_LITERAL = `X'${"00".repeat(WRAPPED_BYTES)}'`;
const EMPTY = Buffer.alloc(WRAPPED_BYTES);

export interface KeyringDeps {
  readonly connection: Connection;
  readonly deviceKey: DeviceKey;
  readonly randomBytes: RandomBytes;
}

export class Keyring {
  readonly #connection: Connection;
  readonly #deviceKey: DeviceKey;
  readonly #randomBytes: RandomBytes;

  constructor({ connection, deviceKey, randomBytes }: KeyringDeps) {
    this.#connection = connection;
    this.#deviceKey = deviceKey;
    this.#randomBytes = randomBytes;
  }

  /** A new key for `owner` in a free slot. Inside a transaction. */
  create(owner: string): { readonly slot: number; readonly key: SealingKey } {
    const free = this.#connection.get(
      `SELECT slot FROM key_slot WHERE wrapped = ${EMPTY_LITERAL} LIMIT 1`,
    );
    const slot = free === undefined ? this.#append() : Number(free["slot"]);
    const bytes = this.#randomBytes(KEY_BYTES);
    const key = new SealingKey(bytes, this.#randomBytes);
    const wrapped = this.#deviceKey.seal(bytes, placeOf(slot, owner));
    bytes.fill(0);
    this.#connection.run("UPDATE key_slot SET wrapped = ? WHERE slot = ?", wrapped, slot);
    return { slot, key };
  }

  /** @throws SealBroken */
  open(slot: number, owner: string): SealingKey {
    const wrapped = this.#connection.get("SELECT wrapped FROM key_slot WHERE slot = ?", slot)?.[
      "wrapped"
    ];
    if (!(wrapped instanceof Uint8Array)) throw new SealBroken(placeOf(slot, owner));
    return this.unwrap(wrapped, slot, owner);
  }

  unwrap(wrapped: Uint8Array, slot: number, owner: string): SealingKey {
    const bytes = this.#deviceKey.open(wrapped, placeOf(slot, owner));
    const key = new SealingKey(bytes, this.#randomBytes);
    bytes.fill(0);
    return key;
  }

  /** Overwrites the wrapped key in place. What it sealed is noise from the next checkpoint on. */
  destroy(slot: number): void {
    this.#connection.run("UPDATE key_slot SET wrapped = ? WHERE slot = ?", EMPTY, slot);
  }

  /** The device's own key of that name, made when it is first asked for. Inside a transaction. */
  own(name: string): SealingKey {
    const slot = this.#connection.get("SELECT value FROM meta WHERE name = ?", `slot.${name}`)?.[
      "value"
    ];
    if (slot !== undefined) return this.open(Number(slot), `own:${name}`);
    const made = this.create(`own:${name}`);
    this.#connection.run("INSERT INTO meta (name, value) VALUES (?, ?)", `slot.${name}`, made.slot);
    return made.key;
  }

  /** A small secret of the device under the device key itself, made when it is first asked for. Inside a transaction. */
  secret(name: string, make: () => Uint8Array): Buffer {
    const sealed = this.#connection.get(
      "SELECT value FROM meta WHERE name = ?",
      `secret.${name}`,
    )?.["value"];
    if (sealed instanceof Uint8Array) {
      try {
        return this.#deviceKey.open(sealed, `meta|${name}|1`);
      } catch (cause) {
        throw new Fault(
          "wrong_device_key",
          "the store was sealed with another device key: give the one it was made with",
          { cause },
        );
      }
    }
    const made = Buffer.from(make());
    this.#connection.run(
      "INSERT INTO meta (name, value) VALUES (?, ?)",
      `secret.${name}`,
      this.#deviceKey.seal(made, `meta|${name}|1`),
    );
    return made;
  }

  /** Appended after the last row, empty: filling it overwrites it in place (see migrations). */
  #append(): number {
    const slot = Number(
      this.#connection.get("SELECT coalesce(max(slot), 0) + 1 AS slot FROM key_slot")?.["slot"],
    );
    this.#connection.run("INSERT INTO key_slot (slot, wrapped) VALUES (?, ?)", slot, EMPTY);
    return slot;
  }
}

function placeOf(slot: number, owner: string): string {
  return `key_slot|${slot}|${owner}|1`;
}
