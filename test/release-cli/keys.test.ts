/** Private keys: encrypted on disk, or never here at all. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, sign } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { makeKeyFile, openSigner } from "../../scripts/release/keys.ts";
import { passphrasesFrom } from "../../scripts/release/passphrases.ts";
import { encryptedPem } from "../../scripts/release/pkcs8.ts";
import { newRoot } from "../../scripts/release/roles.ts";
import { publicKeyFrom, rawPublicKeyOf } from "../../src/mqtt/envelope.ts";
import { CHEAP, PASSPHRASE } from "../support/release.ts";

const ROOT = resolve(import.meta.dirname, "../..");
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "ostiary-keys-"));
});
after(() => rm(directory, { recursive: true, force: true }));

const passphrase = () => Promise.resolve(PASSPHRASE);

test("a key file is PKCS #8 by scrypt and AES-256, for the owner only, and OpenSSL opens it", async () => {
  const file = join(directory, "real.pem");
  const publicKey = await makeKeyFile(file, PASSPHRASE);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const structure = execFileSync("openssl", ["asn1parse", "-in", file], { encoding: "utf8" });
  for (const word of ["PBES2", "scrypt", "aes-256-cbc"]) assert.match(structure, new RegExp(word));
  const opened = execFileSync(
    "openssl",
    ["pkey", "-in", file, "-passin", "stdin", "-pubout", "-outform", "DER"],
    { input: PASSPHRASE },
  );
  assert.equal(opened.subarray(-32).toString("base64"), publicKey);
  await assert.rejects(makeKeyFile(file, PASSPHRASE, CHEAP), { code: "key_exists" });
});

test("a wrong passphrase, a plain key, another key, no key: each is named, and none is quoted", async () => {
  const file = join(directory, "one.pem");
  const publicKey = await makeKeyFile(file, PASSPHRASE, CHEAP);
  const secret = (await readFile(file, "utf8")).split("\n")[1] ?? "";
  const open = (path: string, given = passphrase) =>
    openSigner("targets-1", { publicKey, file: path }, path, given);
  const refusal = async (path: string, code: string, given = passphrase): Promise<void> => {
    await assert.rejects(open(path, given), (thrown: Error & { code: string }) => {
      assert.equal(thrown.code, code);
      assert.ok(!`${thrown.stack}${String(thrown.cause)}`.includes(secret));
      return true;
    });
  };
  await refusal(file, "passphrase_wrong", () => Promise.resolve("not this one"));
  await refusal(join(directory, "gone.pem"), "key_unreadable");
  const { privateKey } = generateKeyPairSync("ed25519");
  const plain = join(directory, "plain.pem");
  await writeFile(plain, privateKey.export({ type: "pkcs8", format: "pem" }));
  await refusal(plain, "key_unencrypted");
  const other = join(directory, "other.pem");
  await writeFile(other, encryptedPem(privateKey, PASSPHRASE, CHEAP));
  const signer = await open(other);
  assert.throws(() => signer(Buffer.from("bytes")), { code: "key_mismatch" });
});

test("a token signs through a program: raw, hex or base64; what it signs is checked", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(rawPublicKeyOf(publicKey)).toString("base64");
  const pem = join(directory, "token.pem");
  await writeFile(pem, privateKey.export({ type: "pkcs8", format: "pem" }));
  const program = join(directory, "token");
  await writeFile(
    program,
    `#!${process.execPath}
const { readFileSync } = require("node:fs");
const { sign } = require("node:crypto");
const [form, name] = process.argv.slice(2);
if (name !== "targets-1") process.exit(3);
const signature = sign(null, readFileSync(0), readFileSync(${JSON.stringify(pem)}));
process.stdout.write(form === "raw" ? signature : signature.toString(form) + "\\n");
`,
  );
  await chmod(program, 0o755);
  const bytes = Buffer.from("metadata");
  const open = (form: string, name = "targets-1", key = raw) =>
    openSigner(name, { publicKey: key, command: [program, form, name] }, undefined, passphrase);
  for (const form of ["raw", "hex", "base64"])
    assert.deepEqual((await open(form))(bytes), sign(null, bytes, privateKey), form);
  const unknown = await open("raw", "root-1");
  assert.throws(() => unknown(bytes), { code: "signer_failed", message: /exit code 3/ });
  const stranger = Buffer.from(rawPublicKeyOf(generateKeyPairSync("ed25519").publicKey));
  const mismatched = await open("raw", "targets-1", stranger.toString("base64"));
  assert.throws(() => mismatched(bytes), { code: "key_mismatch" });
  assert.ok(publicKeyFrom(raw));
});

test("passphrases come from a file, the environment or the terminal, in this order", async () => {
  const file = join(directory, "passphrase");
  await writeFile(file, "from the file\n");
  const asked: string[] = [];
  const sources = {
    files: new Map([["online", file]]),
    env: { OSTIARY_PASSPHRASE_ROOT_1: "for root one", OSTIARY_PASSPHRASE: "for all others" },
    ask: undefined,
  };
  const given = passphrasesFrom(sources);
  assert.equal(await given("online", false), "from the file");
  assert.equal(await given("root-1", false), "for root one");
  assert.equal(await given("director", false), "for all others");
  const terminal = passphrasesFrom({
    files: new Map(),
    env: {},
    ask: (question) => {
      asked.push(question);
      return Promise.resolve("typed in twice");
    },
  });
  assert.equal(await terminal("director", true), "typed in twice");
  assert.equal(await terminal("director", false), "typed in twice");
  assert.equal(asked.length, 2, "a new one is asked for twice, a known one not again");
  const none = passphrasesFrom({ files: new Map(), env: {}, ask: undefined });
  await assert.rejects(none("director", false), { code: "passphrase_missing" });
  const short = passphrasesFrom({
    files: new Map(),
    env: { OSTIARY_PASSPHRASE: "short" },
    ask: undefined,
  });
  await assert.rejects(short("director", true), { code: "passphrase_short" });
});

test("on a terminal a passphrase is asked for, and never shown", () => {
  const workspace = join(directory, "asked");
  const shown = execFileSync(
    join(ROOT, ".venv/bin/python"),
    [
      join(import.meta.dirname, "prompt.py"),
      PASSPHRASE,
      join(ROOT, "scripts/ostiary-release"),
      ...["init", "--single-key", "--dir", workspace],
    ],
    { encoding: "utf8", env: { PATH: process.env["PATH"] } },
  );
  assert.equal(
    shown.match(/passphrase of (?:release|online|director): \r?\nthe same again: /g)?.length,
    3,
  );
  assert.ok(!shown.includes(PASSPHRASE));
  assert.ok(existsSync(join(workspace, "keys/director.pem")));
});

test("a threshold that no keys reach is no root; the same key twice counts once", () => {
  const key = Buffer.alloc(32, 1).toString("base64");
  const role = { threshold: 1, publicKeys: [key] };
  const roles = { root: role, snapshot: role, timestamp: role };
  assert.throws(
    () =>
      newRoot(
        { version: 1, expiresMs: Date.now() },
        { ...roles, targets: { threshold: 2, publicKeys: [key, key] } },
      ),
    { code: "threshold_unreachable" },
  );
});
