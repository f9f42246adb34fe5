import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { publicHalfOf } from "../../src/cli/keys.ts";
import { KeyId } from "../../src/lib/envelope.ts";
import { cli } from "./support.ts";

describe("keys new", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-keys-"));
  });
  after(async () => rm(directory, { recursive: true, force: true }));

  it("writes a private key that only its owner reads, and prints the public half", async () => {
    const run = await cli(["keys", "new", "admin", "--out", join(directory, "keys"), "--json"]);
    assert.equal(run.exit, 0, run.error);
    const said = JSON.parse(run.out);
    assert.equal((await stat(said.file)).mode & 0o777, 0o600);
    assert.equal((await stat(join(directory, "keys"))).mode & 0o777, 0o700);
    const half = publicHalfOf(createPublicKey(createPrivateKey(await readFile(said.file))));
    assert.deepEqual({ publicKey: said.publicKey, kid: said.kid }, half);
    assert.equal(Buffer.from(said.publicKey, "base64").length, 32);
    KeyId.parse(said.kid);
  });

  it("never overwrites a key", async () => {
    const argv = ["keys", "new", "twice", "--out", directory];
    assert.equal((await cli(argv)).exit, 0);
    const first = await readFile(join(directory, "twice.pem"), "utf8");
    const second = await cli(argv);
    assert.equal(second.exit, 3);
    assert.match(second.error, /exists already/);
    assert.equal(await readFile(join(directory, "twice.pem"), "utf8"), first);
  });

  it("prints something to paste into the configuration", async () => {
    const run = await cli(["keys", "new", "paste", "--out", directory]);
    assert.match(run.out, /name: paste\n\s+publicKey: [A-Za-z0-9+/]{43}=/);
  });
});
