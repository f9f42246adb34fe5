import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogFields } from "../../src/lib/log.ts";
import { createLog } from "../../src/telemetry/log.ts";

function capture(journald = false) {
  const lines: string[] = [];
  const handle = createLog({ level: "debug", journald, write: (line) => lines.push(line) });
  return { ...handle, lines, text: () => lines.join("") };
}

test("a line is one JSON object with fields and message", () => {
  const { log, lines } = capture();
  log.child({ cameraId: "front" }).warn({ attempt: 3 }, "camera unreachable");
  const line = JSON.parse(lines[0] ?? "");
  assert.equal(line.level, "warn");
  assert.equal(line.cameraId, "front");
  assert.equal(line.attempt, 3);
  assert.equal(line.message, "camera unreachable");
  assert.match(line.time, /^\d{4}-\d\d-\d\dT.*Z$/);
});

test("under journald each line begins with its priority", () => {
  const { log, lines } = capture(true);
  log.error({}, "a");
  log.warn({}, "b");
  log.info({}, "c");
  log.debug({}, "d");
  assert.deepEqual(
    lines.map((line) => line.slice(0, 3)),
    ["<3>", "<4>", "<6>", "<7>"],
  );
});

test("a new level reaches children made before", () => {
  const { log, setLevel, lines } = capture();
  const child = log.child({ part: "x" });
  setLevel("error");
  child.info({}, "hidden");
  assert.equal(lines.length, 0);
});

test("secrets, names, embeddings, pixels and URLs with credentials never reach the output", () => {
  const { log, text } = capture();
  const secrets = [
    "hunter2",
    "p@ss/w:rd",
    "Ada Lovelace",
    "0.123456",
    "iVBORw0KGgo",
    "sekrit-token",
    "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
  ];
  const long = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo".repeat(4);
  const wrong = (fields: Record<string, unknown>): LogFields => fields as LogFields;
  log.info(
    {
      url: "rtsp://admin:hunter2@10.0.0.5/stream",
      displayName: "Ada Lovelace",
      name: "Ada Lovelace",
    },
    "by key",
  );
  log.info(
    { reason: "cannot open rtsp://admin:p@ss/w:rd@10.0.0.5/stream?password=hunter2 now" },
    "mqtts://u:hunter2@broker lost",
  );
  log.info(
    { detail: "http://cam/x?token=sekrit-token", line: "password=hunter2 and secret: hunter2" },
    "header authorization: Basic hunter2",
  );
  log.info(
    wrong({
      embedding: new Float32Array([0.123456]),
      face: { displayName: "Ada Lovelace" },
      list: ["hunter2"],
    }),
    "objects",
  );
  log.info({ note: Array.from({ length: 128 }, () => 0.123456).join(", ") }, "vector as text");
  log.info({ image: "iVBORw0KGgo", note: long }, long);
  log.info(wrong({ error: new Error("rtsp://a:hunter2@b/ failed") }), "error");
  log
    .child({ mqttPassword: "hunter2", metadata: "Ada Lovelace" })
    .error({}, "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----");
  for (const secret of secrets)
    assert.equal(text().includes(secret), false, `${secret} in ${text()}`);
  assert.match(text(), /rtsp:\/\/\[redacted\]@/);
  assert.match(text(), /10\.0\.0\.5|broker lost/, "what helps stays");
});
