/** Keys of a workspace: made, opened, asked to sign. Private halves never leave this module. */
import { spawnSync } from "node:child_process";
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { codeOf, Fault } from "../../src/lib/fault.ts";
import { publicKeyFrom, rawPublicKeyOf } from "../../src/mqtt/envelope.ts";
import { exists, sha256Of } from "./files.ts";
import { encryptedPem } from "./pkcs8.ts";
import type { KeyEntry } from "./settings.ts";

const COMMAND_MS = 120_000;

/** Gives the passphrase of a key, by name. @throws Fault `passphrase_missing` */
export type Passphrases = (name: string, isNew: boolean) => Promise<string>;

/** Signs bytes with Ed25519. @returns 64 bytes that the key's public half verifies */
export type Sign = (bytes: Uint8Array) => Buffer;

/** The key as TUF metadata lists it (spec §4.2); its id is the sha256 of its canonical form. */
export function tufKeyOf(publicKey: string) {
  const key = {
    keytype: "ed25519",
    keyval: { public: Buffer.from(publicKey, "base64").toString("hex") },
    scheme: "ed25519",
  };
  // Keys are in order and the values plain: this text is the canonical form.
  return { keyid: sha256Of(Buffer.from(JSON.stringify(key))), key };
}

/** Makes a key and writes its private half, encrypted. @throws Fault `key_exists` */
export async function makeKeyFile(
  path: string,
  passphrase: string,
  cost?: { readonly N: number; readonly r: number; readonly p: number },
): Promise<string> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (await exists(path))
    throw new Fault("key_exists", `${path} exists already: a key is never overwritten`);
  await using handle = await open(path, "wx", 0o600);
  await handle.writeFile(encryptedPem(privateKey, passphrase, cost));
  await handle.sync();
  return Buffer.from(rawPublicKeyOf(publicKey)).toString("base64");
}

/**
 * Opens the private half of a key.
 *
 * @param path where its file lies
 * @throws Fault `key_unreadable`, `key_unencrypted`, `passphrase_wrong`, `key_mismatch`, `signer_failed`
 */
export async function openSigner(
  name: string,
  entry: KeyEntry,
  path: string | undefined,
  passphrases: Passphrases,
): Promise<Sign> {
  const publicKey = publicKeyFrom(entry.publicKey);
  const raw =
    path === undefined
      ? commandSigner(name, entry.command ?? [])
      : fileSigner(await openKeyFile(name, path, passphrases));
  return (bytes) => {
    const signature = raw(bytes);
    if (signature.length === 64 && verify(null, bytes, publicKey, signature)) return signature;
    throw new Fault(
      "key_mismatch",
      `what signs for ${name} is not the key of release.yaml: its public half does not verify the signature`,
    );
  };
}

const fileSigner =
  (key: KeyObject): Sign =>
  (bytes) =>
    sign(null, bytes, key);

async function openKeyFile(
  name: string,
  path: string,
  passphrases: Passphrases,
): Promise<KeyObject> {
  const pem = await readFile(path, "utf8").catch((thrown: unknown) => {
    throw new Fault(
      "key_unreadable",
      `the key ${name} cannot be read from ${path} (${codeOf(thrown)}): bring it, or name it with --key-file ${name}=FILE`,
    );
  });
  if (!pem.includes("BEGIN ENCRYPTED PRIVATE KEY")) {
    throw new Fault(
      "key_unencrypted",
      `${path} is no encrypted PKCS #8 key: encrypt it with openssl pkcs8 -topk8 -scrypt`,
    );
  }
  const passphrase = await passphrases(name, false);
  try {
    return createPrivateKey({ key: pem, passphrase });
  } catch (thrown) {
    // The cause is left out: it may quote the key's text.
    throw new Fault(
      "passphrase_wrong",
      `the key ${name} does not open with this passphrase (${codeOf(thrown)})`,
    );
  }
}

/**
 * A program between us and the private key. It may ask for its PIN on the terminal. Its stdin and stdout are
 * files: what opens /dev/stdin by name, as pkcs11-tool does, cannot open a socket.
 */
function commandSigner(name: string, [program = "", ...args]: readonly string[]): Sign {
  return (bytes) => {
    const directory = mkdtempSync(join(tmpdir(), "ostiary-sign-"));
    const [input, output] = [join(directory, "bytes"), join(directory, "signature")];
    const handles: number[] = [];
    try {
      writeFileSync(input, bytes);
      handles.push(openSync(input, "r"), openSync(output, "w"));
      const run = spawnSync(program, args, {
        timeout: COMMAND_MS,
        stdio: [handles[0], handles[1], "inherit"],
      });
      if (run.error === undefined && run.status === 0) return signatureOf(readFileSync(output));
      const why =
        run.error === undefined ? `exit code ${run.status ?? run.signal}` : codeOf(run.error);
      throw new Fault("signer_failed", `${program} gave no signature of ${name} (${why})`);
    } finally {
      for (const handle of handles) closeSync(handle);
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

/** Raw, hex or base64: tokens differ. */
function signatureOf(output: Buffer): Buffer {
  if (output.length === 64) return output;
  const text = output.toString("latin1").trim();
  return Buffer.from(text, /^[0-9a-fA-F]{128}$/.test(text) ? "hex" : "base64");
}
