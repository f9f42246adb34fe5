import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigInvalid, loadConfig, parseConfig } from "../../src/config/load.ts";
import { nearestOf } from "../../src/config/problems.ts";
import { warningsOf } from "../../src/config/schema.ts";

const MINIMAL = "mqtt: { site: hq, device: lobby, url: 'mqtts://broker.example' }\n";
const KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

function problemsOf(yaml: string): readonly string[] {
  try {
    parseConfig(yaml, "x.yaml");
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigInvalid, String(thrown));
    assert.equal(thrown.code, "config_invalid");
    return thrown.problems;
  }
  return [];
}

async function folder(files: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), "ostiary-config-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test("the example loads, and three lines are enough", async () => {
  const example = parseConfig(
    await readFile(new URL("../../config/ostiary.example.yaml", import.meta.url), "utf8"),
    "example",
  );
  assert.equal(example.access.doors[0]?.id, "lobby-door");
  const minimal = parseConfig(MINIMAL, "x.yaml");
  assert.equal(minimal.paths.state, "/var/lib/ostiary");
  assert.equal(minimal.decision.framesMin, 3);
  assert.equal(minimal.control.snapshot.enabled, false);
});

test("every problem is listed with its key and its fix", () => {
  const problems = problemsOf(`
mqtt: { site: hq, device: lobby, url: "mqtt://10.0.0.1", keepaliveSecond: 3 }
camera: []
decision: { framesMin: 1, cooldownMs: 5 }
control: { keys: [{ name: x, publicKey: abc, role: root }] }
`);
  const text = problems.join("\n");
  assert.match(text, /^mqtt\.keepaliveSecond: no such key; did you mean "keepaliveSeconds"\?$/m);
  assert.match(text, /^camera: no such key; did you mean "cameras"\?$/m);
  assert.match(text, /^decision\.cooldownMs: no such key; did you mean "coolDownMs"\?$/m);
  assert.match(text, /^decision\.framesMin: /m);
  assert.match(text, /^control\.keys\[0\]\.publicKey: must be the 32 raw bytes.*keys new/m);
  assert.match(text, /^control\.keys\[0\]\.role: /m);
});

test("a missing section says so", () => {
  assert.match(problemsOf("telemetry: { level: info }").join("\n"), /^mqtt: is missing/m);
  assert.match(problemsOf("").join("\n"), /^mqtt: is missing/m);
  assert.match(problemsOf("mqtt: {site: hq, device: lobby}").join("\n"), /^mqtt\.url: is missing/m);
});

test("what no section can know alone is checked across them", () => {
  const problems = problemsOf(`${MINIMAL}
cameras: [{ id: front, url: "rtsp://10.0.0.2/" }, { id: front, url: "rtsp://10.0.0.3/" }]
access: { groups: [staff], doors: [{ id: d, cameras: [frnt], allow: { staff: [always] } }] }
vision: { quorumFrames: 2 }
control: { keys: [{ name: a, publicKey: "${KEY}", role: administrator }, { name: b, publicKey: "${KEY}", role: administrator }] }
`).join("\n");
  assert.match(problems, /^cameras\[1\]\.id: camera "front" exists twice/m);
  assert.match(problems, /^access\.doors\[0\]\.cameras\[0\]: no camera "frnt"/m);
  assert.match(problems, /^vision\.quorumFrames: must be at least decision\.framesMin \(3\)/m);
  assert.match(problems, /^control\.keys\[1\]\.publicKey: is listed twice/m);
});

test("problems never show a value, which may be a secret", () => {
  const problems = problemsOf(
    `${MINIMAL}cameras: [{ id: front, url: "rtp://admin:hunter2@10.0.0.2/" }]`,
  ).join("\n");
  assert.match(problems, /^cameras\[0\]\.url: must be rtsp/m);
  assert.doesNotMatch(problems, /hunter2/);
});

test("broken YAML, doubled keys and alias bombs are named", () => {
  assert.match(problemsOf("mqtt: [").join(), /^line \d+: /);
  assert.match(problemsOf(`${MINIMAL}mqtt: {}`).join(), /^line \d+: duplicate key/);
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    ...["b", "c", "d", "e"].map(
      (name, i) => `${name}: &${name} [${Array(9).fill(`*${"abcd"[i]}`).join(",")}]`,
    ),
  ].join("\n");
  assert.match(problemsOf(bomb).join(), /aliases/);
});

test("URLs come from files and credentials; paths start at the file's folder", async () => {
  await using dir = await folder({
    "front.url": "rtsp://admin:hunter2@10.0.0.2/stream\n",
    back: "rtsp://10.0.0.3/",
    "ostiary.yaml": `${MINIMAL}
cameras:
  - { id: front, urlFile: front.url }
  - { id: back, urlFile: "credential:back" }
  - { id: clip, url: "file:clips/a.mp4" }
paths: { state: state, deviceKey: device.key }
`,
  });
  const config = await loadConfig(join(dir.path, "ostiary.yaml"), {
    credentialsDirectory: dir.path,
  });
  assert.deepEqual(
    config.cameras.map((camera) => camera.url),
    ["rtsp://admin:hunter2@10.0.0.2/stream", "rtsp://10.0.0.3/", `file:${dir.path}/clips/a.mp4`],
  );
  assert.deepEqual(config.paths, {
    state: join(dir.path, "state"),
    runtime: "/run/ostiary",
    deviceKey: join(dir.path, "device.key"),
  });
});

test("a URL file that is missing or holds something else is named, its content is not", async () => {
  await using dir = await folder({
    "wrong.url": "hunter2",
    "ostiary.yaml": `${MINIMAL}cameras: [{ id: a, urlFile: none.url }, { id: b, urlFile: wrong.url }, { id: c }]`,
  });
  const file = join(dir.path, "ostiary.yaml");
  await assert.rejects(loadConfig(file), {
    code: "config_invalid",
    message: /cameras\[2\]\.url: give either url or urlFile/,
  });
  await writeFile(
    file,
    `${MINIMAL}cameras: [{ id: a, urlFile: none.url }, { id: b, urlFile: wrong.url }]`,
  );
  await assert.rejects(loadConfig(file), (fault: Error) => {
    assert.match(fault.message, /cameras\[0\]\.urlFile: there is no such file/);
    assert.match(fault.message, /cameras\[1\]\.urlFile: the file holds no URL/);
    assert.doesNotMatch(fault.message, /hunter2/);
    return true;
  });
});

test("an unreadable or huge file is a fault of its own", async () => {
  await assert.rejects(loadConfig("/nonexistent/ostiary.yaml"), {
    code: "config_unreadable",
    message: /example/,
  });
  await using dir = await folder({ "huge.yaml": "#".repeat(1_100_000) });
  await assert.rejects(loadConfig(join(dir.path, "huge.yaml")), { code: "config_invalid" });
});

test("without an update section there are no updates; with one its paths start at the file's folder", async () => {
  assert.equal(parseConfig(MINIMAL, "x.yaml").update, undefined);
  const update =
    "update: { repository: { url: 'https://releases.example/', caFile: ca.pem }, trust: { root: /keys/root.json } }\n";
  await using at = await folder({ "ostiary.yaml": MINIMAL + update });
  const loaded = (await loadConfig(join(at.path, "ostiary.yaml"))).update;
  assert.equal(loaded?.repository.caFile, join(at.path, "ca.pem"));
  assert.deepEqual(loaded?.trust, {
    root: "/keys/root.json",
    director: join(at.path, "trust/director.pub"),
  });
  const plain = `${MINIMAL}update: { repository: { url: "http://releases.example/" } }\n`;
  assert.match(problemsOf(plain).join("\n"), /^update\.repository\.url: .*https/m);
});

test("what gives a protection up is warned of", async () => {
  await using dir = await folder({
    "ostiary.yaml": `${MINIMAL}insecure: { generatedDeviceKey: true }\ncontrol: { snapshot: { enabled: true } }`,
  });
  const warnings = warningsOf(await loadConfig(join(dir.path, "ostiary.yaml"))).join("\n");
  for (const key of ["insecure.generatedDeviceKey", "control.snapshot.enabled", "control.keys"])
    assert.ok(warnings.includes(key), key);
});

test("near words are suggested, far ones are not", () => {
  assert.equal(nearestOf("cool_down_ms", ["coolDownMs", "windowMs"]), "coolDownMs");
  assert.equal(nearestOf("shoeSize", ["coolDownMs", "windowMs"]), undefined);
});
