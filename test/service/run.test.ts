import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { importPack, noModels } from "../cli/pack.ts";
import { cli } from "../cli/support.ts";
import { exited } from "../support/children.ts";
import { PATIENCE_MS, within } from "../support/waiting.ts";

/** Without a camera and without a broker: neither is needed to run, only to be useful. */
describe("the daemon as a process", { skip: noModels }, () => {
  let directory = "";
  let config = "";
  let daemon: ChildProcess | undefined;
  let output = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-run-"));
    const pack = await importPack(directory);
    writeFileSync(join(directory, "device.key"), randomBytes(32), { mode: 0o600 });
    config = join(directory, "ostiary.yaml");
    const paths = { state: "state", runtime: "run", pack, deviceKey: "device.key" };
    writeFileSync(
      config,
      JSON.stringify({ mqtt: { site: "s", device: "d", url: "mqtt://127.0.0.1:9" }, paths }),
    );
    daemon = spawn(resolve("scripts/ostiary"), ["run", "--config", config], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [daemon.stdout, daemon.stderr])
      stream?.on("data", (chunk) => (output += String(chunk)));
    for (let tries = 0; tries < 200 && (await ask("identities", "list")).exit !== 0; tries += 1)
      await sleep(100);
  });
  after(() => {
    daemon?.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  });

  /** Sends SIGHUP and waits until the log says so. */
  const hangUp = async (said: string): Promise<void> => {
    const from = output.length;
    daemon?.kill("SIGHUP");
    for (let tries = 0; tries < 200 && !output.slice(from).includes(said); tries += 1) {
      await sleep(50);
    }
    assert.ok(output.slice(from).includes(said), output.slice(from));
  };

  const ask = (...argv: readonly string[]) =>
    cli([
      ...argv,
      "--config",
      config,
      ...(daemon?.exitCode === null ? ["--socket", join(directory, "run/control.sock")] : []),
    ]);

  it("answers the CLI over its control socket", async () => {
    const list = await ask("identities", "list", "--json");
    assert.deepEqual(
      [list.exit, JSON.parse(list.out || "{}")],
      [0, { schema: 1, identities: [] }],
      output,
    );
    const erase = await ask("erase", "nobody");
    assert.deepEqual([erase.exit, erase.error.includes("unknown_identity")], [3, true]);
  });

  it("lets nobody else open its store", async () => {
    const check = await cli(["check", "--config", config, "--json"]);
    const store = JSON.parse(check.out).findings.find(
      (finding: { what: string }) => finding.what === "store",
    );
    assert.deepEqual([store.state, store.text.includes("running daemon")], ["ok", true]);
  });

  it("applies a reload on SIGHUP, and keeps what it has when the new one is not valid", async () => {
    const text = readFileSync(config, "utf8");
    writeFileSync(config, JSON.stringify({ ...JSON.parse(text), telemetry: { level: "debug" } }));
    await hangUp("telemetry.level");
    writeFileSync(config, JSON.stringify({ ...JSON.parse(text), mqtt: 1 }));
    await hangUp("the configuration was not reloaded");
    writeFileSync(config, text);
    assert.equal((await ask("identities", "list")).exit, 0);
  });

  it("stops cleanly within 5 s of SIGTERM, and the CLI then works on its store", async () => {
    assert.ok(daemon !== undefined);
    const from = performance.now();
    daemon.kill("SIGTERM");
    await within(exited(daemon), "the daemon ends", PATIENCE_MS, () => output);
    assert.equal(daemon.exitCode, 0, output);
    assert.ok(performance.now() - from < 5000, `took ${Math.round(performance.now() - from)} ms`);
    const list = await ask("identities", "list", "--json");
    assert.equal(list.exit, 0, list.error);
    assert.match(list.error, /working on its store directly/);
    const check = await cli(["check", "--config", config, "--json"]);
    const store = JSON.parse(check.out).findings.find(
      (finding: { what: string }) => finding.what === "store",
    );
    assert.deepEqual(
      [store.state, store.text],
      ["ok", "0 identities, 0 templates, 0 source crops, 0 events"],
    );
    assert.equal(
      existsSync(join(directory, "run/control.sock")),
      false,
      "no socket is left behind",
    );
  });
});
