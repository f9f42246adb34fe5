import assert from "node:assert/strict";
import { test } from "node:test";
import { createEvents } from "../../src/telemetry/events.ts";
import { createMetrics, MetricsEndpoint } from "../../src/telemetry/metrics.ts";
import { RecordingLog } from "../support/log.ts";
import { cameraIdOf, decisionFor } from "./samples.ts";

test("names must carry their unit", () => {
  const metrics = createMetrics();
  assert.throws(() => metrics.gauge("ostiary_latency", "no unit"));
  assert.throws(() =>
    metrics.counter("ostiary_latency_seconds", "a counter of events ends in _total"),
  );
  assert.throws(() => metrics.gauge("latency_seconds", "no prefix"));
});

test("label sets beyond the bound fold into one", async () => {
  const metrics = createMetrics();
  const counter = metrics.counter("ostiary_things_total", "things", ["what"]);
  for (let i = 0; i < 700; i += 1) counter.add({ what: `w${i}` });
  const text = await metrics.text();
  assert.match(text, /ostiary_things_total\{what="other"\} 200/);
});

test("the endpoint serves metrics and nothing else", async () => {
  const metrics = createMetrics();
  metrics.counter("ostiary_things_total", "things").add();
  await using endpoint = await MetricsEndpoint.open({ host: "127.0.0.1", port: 0 }, { metrics });
  const reply = await fetch(`http://127.0.0.1:${endpoint.port}/metrics`);
  assert.match(await reply.text(), /ostiary_things_total 1/);
  assert.equal((await fetch(`http://127.0.0.1:${endpoint.port}/`)).status, 404);
  await assert.rejects(
    MetricsEndpoint.open({ host: "127.0.0.1", port: endpoint.port }, { metrics }),
    { code: "metrics_unavailable" },
  );
});

test("a business event is a log line and a number", async () => {
  const metrics = createMetrics();
  const log = new RecordingLog();
  const events = createEvents({ log, metrics });
  events.decided(decisionFor("door-1"), 240);
  for (const state of ["online", "offline", "offline"])
    events.cameraChanged(cameraIdOf("front"), state);
  events.measured({
    identities: 2,
    templates: 9,
    recall: 0.999,
    clockTrusted: true,
    brokerConnected: false,
  });
  events.commandHandled("identity/put", "ok", "mqtt", 12.4);
  const text = await metrics.text();
  assert.match(text, /ostiary_decisions_total\{door="door-1",outcome="deny",reason="unknown"\} 1/);
  assert.match(text, /ostiary_decision_latency_seconds_bucket\{le="0.25",door="door-1"\} 1/);
  assert.match(text, /ostiary_camera_changes_total\{camera="front",state="offline"\} 1/);
  assert.match(text, /ostiary_index_recall_ratio 0\.999/);
  assert.match(text, /ostiary_broker_connected_info 0/);
  assert.match(text, /ostiary_commands_total\{command="identity\/put",code="ok",source="mqtt"\} 1/);
  assert.deepEqual(
    log.entries.map((entry) => [entry.level, entry.message]),
    [
      ["info", "decided"],
      ["info", "command handled"],
    ],
  );
});
