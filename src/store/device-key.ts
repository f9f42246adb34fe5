/** Where the device key comes from: a systemd credential, a file nobody else may read, or a refusal. */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { codeOf, Fault } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { KEY_BYTES, type RandomBytes, SealingKey } from "./sealing.ts";

export interface DeviceKeyOptions {
  /** systemd's `$CREDENTIALS_DIRECTORY`; its file `device-key` wins. */
  readonly credentialsDirectory?: string | undefined;
  /** 32 raw bytes or 64 hex digits, mode 0600 or stricter. */
  readonly file?: string | undefined;
  /** Creates `file` when it is missing. The key then lies beside what it protects: for trials only. */
  readonly insecureGenerated: boolean;
}

export interface DeviceKeyDeps {
  readonly log: Log;
  readonly randomBytes: RandomBytes;
}

/** Wraps the keys of identities; the secret that a copy of the database lacks. */
export type DeviceKey = SealingKey;

export function deviceKeyOf(bytes: Uint8Array, randomBytes: RandomBytes): DeviceKey {
  return new SealingKey(bytes, randomBytes);
}

/** @throws Fault `device_key_missing`, `device_key_exposed`, `device_key_invalid` */
export function loadDeviceKey(
  options: DeviceKeyOptions,
  { log, randomBytes }: DeviceKeyDeps,
): DeviceKey {
  const credential =
    options.credentialsDirectory === undefined
      ? undefined
      : join(options.credentialsDirectory, "device-key");
  const bytes =
    (credential === undefined ? undefined : readKey(credential, "credential")) ??
    (options.file === undefined ? undefined : readKey(options.file, "file")) ??
    generated(options, randomBytes);
  if (options.insecureGenerated) {
    log.warn(
      { code: "insecure_device_key" },
      "the device key may be a generated one beside the store: whoever copies the disk can read it",
    );
  }
  const key = new SealingKey(bytes, randomBytes);
  bytes.fill(0);
  return key;
}

function readKey(path: string, kind: "credential" | "file"): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    throw new Fault(
      "device_key_missing",
      `cannot open the device key ${path} (${codeOf(cause)}): check its path and owner`,
      { cause },
    );
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile())
      throw new Fault("device_key_invalid", `the device key ${path} is not a regular file`);
    // systemd serves credentials from a private mount as 0400 or, to root, 0440.
    const forbidden = kind === "credential" ? 0o027 : 0o077;
    if ((stat.mode & forbidden) !== 0) {
      throw new Fault(
        "device_key_exposed",
        `others may read the device key ${path}: chmod 600 it, and replace it if it was copied`,
      );
    }
    const text = Buffer.alloc(256);
    const size = readSync(fd, text, 0, text.length, 0);
    const key = decoded(text.subarray(0, size), path);
    text.fill(0);
    return key;
  } finally {
    closeSync(fd);
  }
}

function decoded(raw: Buffer, path: string): Buffer {
  if (raw.length === KEY_BYTES) return Buffer.from(raw);
  const hex = raw.toString("latin1").trim();
  if (/^[0-9a-fA-F]{64}$/.test(hex)) return Buffer.from(hex, "hex");
  throw new Fault(
    "device_key_invalid",
    `the device key ${path} must be ${KEY_BYTES} raw bytes or ${KEY_BYTES * 2} hex digits`,
  );
}

function generated(options: DeviceKeyOptions, randomBytes: RandomBytes): Buffer {
  const { file } = options;
  if (!options.insecureGenerated || file === undefined) {
    throw new Fault(
      "device_key_missing",
      `no device key: give systemd a credential named device-key${file === undefined ? "" : `, or put 32 random bytes into ${file} (mode 600)`}`,
    );
  }
  const bytes = Buffer.from(randomBytes(KEY_BYTES));
  // On a first start nobody has made the state directory yet.
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const fd = openSync(file, "wx", 0o600);
  try {
    writeSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  // The name must be as durable as the bytes: a lost key is a lost gallery.
  const directory = openSync(dirname(file), "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
  return bytes;
}
