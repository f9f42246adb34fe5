import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { cli } from "./support.ts";

describe("send", () => {
  let directory = "";
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), "ostiary-send-"));
    await cli(["keys", "new", "admin", "--out", directory]);
    await writeFile(join(directory, "not-a-key.pem"), "hello");
  });
  after(async () => rm(directory, { recursive: true, force: true }));

  const send = (
    changes: Readonly<Record<string, string>>,
    args = "{}",
    command = "device/status",
  ) => {
    const options = {
      broker: "mqtt://127.0.0.1:1",
      key: join(directory, "admin.pem"),
      device: "site/door",
      ...changes,
    };
    return cli([
      "send",
      command,
      args,
      ...Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]),
    ]);
  };

  it("says which argument is wrong", async () => {
    assert.match((await send({}, "{oops")).error, /ARGS-JSON is not JSON/);
    assert.match((await send({ device: "door" })).error, /--device must be SITE\/DEVICE/);
    assert.match((await send({ broker: "http://x" })).error, /--broker: must be mqtts:/);
    assert.match((await send({ broker: "mqtt://192.0.2.1" })).error, /set --insecure-plaintext/);
    assert.match((await send({}, "{}", "Rm -rf")).error, /cannot be a command/);
  });

  it("exits 3 without a usable key and never shows its text", async () => {
    const missing = await send({ key: join(directory, "absent.pem") });
    assert.deepEqual([missing.exit, missing.error.includes("keys new")], [3, true]);
    const wrong = await send({ key: join(directory, "not-a-key.pem") });
    assert.equal(wrong.error.includes("hello"), false);
    assert.notEqual(wrong.exit, 0);
  });

  it("exits 4 when no broker listens", async () => {
    const run = await send({});
    assert.equal(run.exit, 4, run.error);
    assert.match(run.error, /no connection to the broker at 127.0.0.1:1/);
  });
});
