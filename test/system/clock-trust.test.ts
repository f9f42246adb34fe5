import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { epochMs } from "../../src/lib/brand.ts";
import { ClockTrustKeeper, judgeClock } from "../../src/system/clock-trust.ts";
import { readCredential } from "../../src/system/credentials.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";

const options = { builtAt: epochMs(1000), requireSynchronized: false, toleranceMs: 10 };

test("a clock is judged by build time, by what was seen, and by the time service", () => {
  assert.deepEqual(judgeClock(epochMs(999), undefined, true, options), {
    kind: "untrusted",
    reason: "before_build",
  });
  assert.deepEqual(judgeClock(epochMs(1500), epochMs(2000), false, options), {
    kind: "untrusted",
    reason: "went_back",
  });
  assert.deepEqual(judgeClock(epochMs(1995), epochMs(2000), false, options), {
    kind: "trusted",
    by: "plausible",
  });
  assert.deepEqual(judgeClock(epochMs(1500), epochMs(2000), true, options), {
    kind: "trusted",
    by: "synchronized",
  });
  const strict = { ...options, requireSynchronized: true };
  assert.deepEqual(judgeClock(epochMs(3000), undefined, false, strict), {
    kind: "untrusted",
    reason: "not_synchronized",
  });
});

test("the latest time seen survives a restart; a clock set back is told", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ostiary-clock-"));
  const path = join(directory, "state", "seen");
  const at = { ...options, path, synchronizedFile: join(directory, "synchronized") };
  const late = new SimulatedClock(5_000_000);
  await (await ClockTrustKeeper.open(at, { clock: late, log: new RecordingLog() }))[
    Symbol.asyncDispose
  ]();
  assert.equal(await readFile(path, "utf8"), "5000000");

  const log = new RecordingLog();
  await using back = await ClockTrustKeeper.open(at, { clock: new SimulatedClock(4_000_000), log });
  assert.deepEqual(back.trust, { kind: "untrusted", reason: "went_back" });
  assert.equal(log.entries[0]?.level, "warn");
  await writeFile(join(directory, "synchronized"), "");
  assert.deepEqual(await back.runOnce(), { kind: "trusted", by: "synchronized" });
  await rm(directory, { recursive: true });
});

test("credentials are read from systemd's directory only", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ostiary-cred-"));
  await writeFile(join(directory, "device-key"), "abc");
  await writeFile(join(directory, "huge"), Buffer.alloc(70_000));
  assert.deepEqual(await readCredential(directory, "device-key"), new Uint8Array([97, 98, 99]));
  assert.equal(await readCredential(directory, "absent"), undefined);
  assert.equal(await readCredential(undefined, "device-key"), undefined);
  await assert.rejects(readCredential(directory, "../etc/shadow"), {
    code: "credential_unreadable",
  });
  await assert.rejects(readCredential(directory, "huge"), { code: "credential_too_large" });
  await rm(directory, { recursive: true });
});
