import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlClient } from "../../src/control/client.ts";
import { cli } from "../cli/support.ts";
import { exited } from "../support/children.ts";
import { bundledPack } from "../support/pack.ts";
import { PATIENCE_MS, within } from "../support/waiting.ts";

const signal = (): AbortSignal => AbortSignal.timeout(PATIENCE_MS);

/** The lines of a daemon's log. */
const logged = (output: string): readonly Readonly<Record<string, unknown>>[] =>
  output.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));

/** Without a camera and without a broker: neither is needed to run, only to be useful. */
describe("the daemon as a process", () => {
  let directory = "";
  let config = "";
  let daemon: ChildProcess | undefined;
  let output = "";

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-run-"));
    writeFileSync(join(directory, "device.key"), randomBytes(32), { mode: 0o600 });
    config = join(directory, "ostiary.yaml");
    const paths = { state: "state", runtime: "run", deviceKey: "device.key" };
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

  /** What `ostiary check` says last of the pack. */
  const packFinding = async (file: string) => {
    const check = await cli(["check", "--config", file, "--json"]);
    const findings = JSON.parse(check.out).findings as {
      what: string;
      state: string;
      text: string;
    }[];
    const finding = findings.findLast(({ what }) => what === "pack");
    assert.ok(finding !== undefined, check.out);
    return finding;
  };

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

  it("runs the bundled pack by default, and says at its start that it opens no door", async () => {
    const { pack } = bundledPack();
    const line = logged(output).find(({ code }) => code === "demo_only");
    if (!pack.demoOnly) return assert.equal(line, undefined);
    assert.match(String(line?.["message"]), new RegExp(`pack ${pack.id} is marked demoOnly`));
    const client = await ControlClient.connect(join(directory, "run/control.sock"), signal());
    using _closed = client;
    const answer = await client.ask("device/status", {}, { id: "status-1" }, signal());
    assert.ok(answer.ok, JSON.stringify(answer));
    const { pack: id, demoOnly, opensDoors } = answer.data as Record<string, unknown>;
    assert.deepEqual([id, demoOnly, opensDoors], [pack.id, true, false]);
    const finding = await packFinding(config);
    assert.deepEqual([finding.state, /denied as demo_only/.test(finding.text)], ["warn", true]);
  });

  it("fails the check of a door that a demo-only pack will not open, until the site allows it", async () => {
    const { pack } = bundledPack();
    const content = JSON.parse(readFileSync(config, "utf8"));
    const camera = { id: "front", url: "rtsp://127.0.0.1:9/x" };
    const door = { id: "front-door", cameras: ["front"] };
    const check = async (insecure: object): Promise<string> => {
      const file = join(directory, "doors.yaml");
      const doors = { cameras: [camera], access: { doors: [door] }, insecure };
      writeFileSync(file, JSON.stringify({ ...content, ...doors }));
      return (await packFinding(file)).state;
    };
    assert.equal(await check({}), pack.demoOnly ? "fail" : "ok");
    assert.equal(await check({ demoOnlyPack: true }), pack.demoOnly ? "warn" : "ok");
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
