import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { newSigner } from "../mqtt/harness.ts";
import { tinyPack, writePack } from "../update/support.ts";
import { cli } from "./support.ts";

interface Finding {
  readonly state: string;
  readonly what: string;
  readonly text: string;
  readonly fix?: string;
}

describe("check and config", () => {
  let directory = "";
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "ostiary-check-"));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const write = (content: unknown): string => {
    const file = join(directory, "ostiary.yaml");
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return file;
  };
  const base = {
    mqtt: { site: "s", device: "d", url: "mqtt://127.0.0.1:9" },
    paths: { state: "state", runtime: "run", pack: "no-such-pack", deviceKey: "device.key" },
  };
  const findingsOf = async (
    content: unknown,
  ): Promise<{ exit: number; findings: readonly Finding[] }> => {
    const run = await cli(["check", "--config", write(content), "--json"]);
    return { exit: run.exit, findings: JSON.parse(run.out).findings };
  };

  it("names each wrong key with a fix and exits 5", async () => {
    const { exit, findings } = await findingsOf({
      ...base,
      cameraz: [],
      mqtt: { ...base.mqtt, url: "http://x" },
    });
    assert.equal(exit, 5);
    assert.ok(
      findings.some(({ text }) => /cameraz: no such key; did you mean "cameras"/.test(text)),
    );
    assert.ok(findings.some(({ text }) => /mqtt\.url/.test(text)));
    assert.ok(findings.every(({ state, fix }) => state === "fail" && fix !== undefined));
  });

  it("names what is missing before an update could come, with its fix", async () => {
    const update = { repository: { url: "https://releases.example/" } };
    const { findings } = await findingsOf({ ...base, update });
    const found = findings.filter(({ what }) => what === "updates");
    assert.deepEqual(
      found.map(({ state }) => state),
      ["fail", "fail", "ok"],
    );
    assert.match(found[0]?.text ?? "", /trust\/root\.json cannot be read/);
    assert.match(found[1]?.text ?? "", /trust\/director\.pub cannot be read/);
    assert.match(found[0]?.fix ?? "", /install\.sh --trust/);
    mkdirSync(join(directory, "trust"), { recursive: true });
    const root = { signed: { _type: "root", version: 3, expires: "2027-01-01T00:00:00Z" } };
    writeFileSync(join(directory, "trust", "root.json"), JSON.stringify(root));
    writeFileSync(join(directory, "trust", "director.pub"), `${newSigner().publicKey}\n`);
    const good = (await findingsOf({ ...base, update })).findings;
    const texts = good.filter(({ what, state }) => what === "updates" && state === "ok");
    assert.match(texts[0]?.text ?? "", /root 3, good until 2027/);
    assert.equal(texts.length, 3);
  });

  it("names an active pack that is damaged, and a repository that does not answer", async () => {
    const factory = writePack(join(directory, "factory"), tinyPack({ counter: 1 }));
    const tiny = tinyPack({ counter: 2 });
    const active = writePack(join(directory, "state", "packs", tiny.name.sha256), tiny);
    symlinkSync(tiny.name.sha256, join(directory, "state", "packs", "active"));
    const repository = { url: `file://${directory}/stick/` };
    const content = { ...base, paths: { ...base.paths, pack: factory }, update: { repository } };
    const updatesOf = async (...more: readonly string[]): Promise<string> => {
      const { out } = await cli(["check", "--config", write(content), "--json", ...more]);
      const { findings } = JSON.parse(out) as { findings: readonly Finding[] };
      return findings
        .filter(({ what }) => what === "updates")
        .map(({ state, text }) => `${state} ${text}`)
        .join("\n");
    };
    assert.match(await updatesOf(), /^ok pack-2 serves, release 2$/m);
    writeFileSync(join(active, "embedder.onnx"), "rotten");
    assert.match(await updatesOf(), /^fail the active pack .* is missing or damaged/m);
    assert.match(await updatesOf("--reach"), /^(?:ok|warn) .*stick/m);
    rmSync(join(directory, "state"), { recursive: true });
  });

  it("finds the pack missing, and the store not made yet", async () => {
    const { exit, findings } = await findingsOf(base);
    assert.equal(exit, 1);
    assert.deepEqual(
      findings.map(({ state, what }) => `${state} ${what}`),
      ["ok configuration", "warn configuration", "fail pack", "warn store"],
    );
  });

  it("prints one tab-separated line per finding for scripts", async () => {
    const run = await cli(["check", "--config", write(base), "--lines"]);
    const rows = run.out
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => line.split("\t"));
    assert.ok(rows.length === 4 && rows.every((row) => row.length === 4), run.out);
  });

  it("prints the configuration without the camera's password", async () => {
    const camera = { id: "front", url: "rtsp://admin:hunter2@192.0.2.7/live" };
    const run = await cli(["config", "print", "--config", write({ ...base, cameras: [camera] })]);
    assert.equal(run.exit, 0, run.error);
    assert.ok(run.out.includes("192.0.2.7") && !run.out.includes("hunter2"));
    assert.equal(
      (await cli(["config", "print", "--config", join(directory, "absent.yaml")])).exit,
      5,
    );
    assert.equal(
      JSON.parse((await cli(["config", "schema"])).out).title,
      "Configuration of Ostiary",
    );
  });

  it("reaches for the daemon and says that it is away", async () => {
    const list = await cli(["identities", "list", "--socket", join(directory, "none.sock")]);
    assert.deepEqual([list.exit, /cannot reach the daemon/.test(list.error)], [4, true]);
  });
});
