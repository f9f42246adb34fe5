import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { diffConfig, mergeLive } from "../../src/config/diff.ts";
import { parseConfig } from "../../src/config/load.ts";
import { printConfig } from "../../src/config/print.ts";
import { referencePage, referenceSchema } from "../../src/config/reference.ts";
import type { Config } from "../../src/config/schema.ts";

const REGENERATE = "run: scripts/node src/config/write-reference.ts && npm run format";
const committed = (name: string): Promise<string> =>
  readFile(new URL(`../../config/${name}`, import.meta.url), "utf8");
const MINIMAL = "mqtt: { site: hq, device: lobby, url: 'mqtts://broker.example' }\n";
const configOf = (more = ""): Config => {
  const parsed = parseConfig(`${MINIMAL}${more}`, "x.yaml");
  return {
    ...parsed,
    cameras: parsed.cameras.map(({ urlFile: _file, ...camera }) => ({
      ...camera,
      url: camera.url ?? "",
    })),
  };
};

/** The formatter pads tables and breaks lists; what they say is compared. */
const plain = (page: string): string =>
  page
    .replaceAll(/ +/g, " ")
    .replaceAll(/\| ?-+ ?(?=\|)/g, "|---")
    .replaceAll(/\n+/g, "\n");

test("the committed reference is the schema's", async () => {
  assert.equal(plain(await committed("README.md")), plain(referencePage()), REGENERATE);
  const schema: unknown = JSON.parse(await committed("ostiary.schema.json"));
  assert.deepEqual(schema, JSON.parse(referenceSchema()), REGENERATE);
});

test("the reference names keys deep inside lists and maps", () => {
  const page = referencePage();
  for (const key of [
    "cameras[].urlFile",
    "access.doors[].cameras",
    "access.schedules.*.timeZone",
    "telemetry.metrics.port",
    "vision.probe.yawMax",
  ]) {
    assert.ok(page.includes(`\`${key}\``), key);
  }
});

test("the effective configuration prints without its secrets", () => {
  const config = configOf(`
cameras:
  - { id: front, url: "rtsp://admin:hunter2@10.0.0.2:554/live?token=sekrit" }
  - { id: odd, url: "rtsp://admin:p@ss/hunter2@10.0.0.2/live" }
  - { id: clip, url: "file:/tmp/a.mp4" }
`);
  for (const format of ["yaml", "json"] as const) {
    const text = printConfig(config, format);
    assert.doesNotMatch(text, /hunter2|sekrit|p@ss/);
    assert.match(text, /\[redacted\]@10\.0\.0\.2:554/);
    assert.match(text, /file:\/tmp\/a\.mp4/);
    assert.match(text, /mqtts:\/\/broker\.example/);
  }
  assert.equal(JSON.parse(printConfig(config, "json")).decision.framesMin, 3);
});

test("a reload says what it applied and what waits for a restart", () => {
  const before = configOf();
  const after = configOf(`
decision: { coolDownMs: 5000 }
cameras: [{ id: front, url: "rtsp://10.0.0.2/" }]
control: { queueMax: 8, snapshot: { enabled: true } }
telemetry: { level: debug, metrics: { port: 9464 } }
vision: { threads: 2 }
`);
  const diff = diffConfig(before, after);
  assert.deepEqual([...diff.live].sort(), ["cameras", "control.snapshot", "telemetry.level"]);
  assert.deepEqual([...diff.restart].sort(), [
    "control.queueMax",
    "decision",
    "telemetry.metrics",
    "vision",
  ]);
  const merged = mergeLive(before, after);
  assert.deepEqual(diffConfig(before, merged).live.length, 3);
  assert.deepEqual(diffConfig(merged, after).restart, diff.restart);
  assert.deepEqual(diffConfig(before, configOf()), { live: [], restart: [] });
});
