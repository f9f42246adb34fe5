import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { RetainedTopic } from "../../src/mqtt/topics.ts";
import { startBroker } from "../support/broker.ts";
import { startProxy } from "../support/proxy.ts";
import { BASE, decisionFor, listen, payloadOf, startLink, until } from "./harness.ts";

const stateOf = (text: string | undefined): unknown =>
  text === undefined ? undefined : JSON.parse(text).state;

describe("presence", { concurrency: 4 }, () => {
  test("online while connected, offline after a clean stop, both retained", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    await until("online", () =>
      live.on("state").some((one) => stateOf(one.text) === "online" && one.retain),
    );
    await rig.stop();
    await until("offline", () => stateOf(live.on("state").at(-1)?.text) === "offline");
    assert.equal(live.on("state").at(-1)?.retain, true);
    assert.equal(JSON.parse(live.on("state").at(-1)?.text ?? "{}").bootId, "boot-1");
  });

  test("a dead device is announced by its will after the delay", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`, {
      willDelaySeconds: 1,
      sessionExpirySeconds: 1,
    });
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    proxy.refuse(true);
    proxy.cut();
    await until("the will", () => stateOf(live.on("state").at(-1)?.text) === "offline");
    assert.equal(live.on("state").at(-1)?.retain, true);
  });

  test("a will that comes late and a foreign value are corrected", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    await until("online", () => stateOf(live.on("state").at(-1)?.text) === "online");
    for (const text of ['{"schema":1,"state":"offline","bootId":"boot-1"}', "nonsense"]) {
      await live.client.publishAsync(`${BASE}state`, text, { qos: 1, retain: true });
      await until("foreign value", () => live.on("state").at(-1)?.text === text);
      await until(
        "corrected",
        () => stateOf(live.on("state").at(-1)?.text.replace("nonsense", "{}")) === "online",
      );
    }
    assert.equal(rig.link.counters.stateCorrections, 2);
  });

  test("two liars cannot make it shout: at most one correction a second", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    for (let i = 0; i < 50; i += 1)
      await live.client.publishAsync(`${BASE}state`, `lie ${i}`, { qos: 1, retain: true });
    await until(
      "corrected",
      () =>
        stateOf(
          live
            .on("state")
            .at(-1)
            ?.text.replace(/^lie.*/, "{}"),
        ) === "online",
    );
    assert.ok(rig.link.counters.stateCorrections <= 3, `${rig.link.counters.stateCorrections}`);
  });
});

describe("states", { concurrency: 4 }, () => {
  test("come back after the broker lost them, with the newest value", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    const topics: RetainedTopic[] = ["info", "camera/hall/state", "door/front/state"];
    for (const topic of topics) rig.link.setRetained(topic, { value: "old" });
    await until("connected", () => rig.link.connection.connected);
    for (const topic of topics) rig.link.setRetained(topic, { value: "new" });
    await broker.kill();
    await until("noticed", () => !rig.link.connection.connected);
    rig.link.setRetained("info", { value: "newest" });
    await broker.start();
    await until("reconnected", () => rig.link.connection.connected);
    await until("re-published", () => rig.link.connection.reconnects === 1);
    await using late = await listen(broker.url);
    await until("all", () => late.heard.filter((one) => one.retain).length >= 4);
    assert.equal(JSON.parse(late.on("info").at(-1)?.text ?? "{}").value, "newest");
    assert.equal(JSON.parse(late.on("camera/hall/state").at(-1)?.text ?? "{}").value, "new");
    assert.equal(stateOf(late.on("state").at(-1)?.text), "online");
  });

  test("an unchanged value is not sent again", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    for (let i = 0; i < 5; i += 1) rig.link.setRetained("info", { value: "same" });
    rig.link.setRetained("info", { value: "other" });
    await until("other", () =>
      live.on("info").some((one) => JSON.parse(one.text).value === "other"),
    );
    assert.ok(live.on("info").length <= 2);
  });

  test("health is sent while connected and dropped while not", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    rig.link.publishHealth({ n: 0 });
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    rig.link.publishHealth({ n: 1 });
    await until("health", () => live.on("health").length > 0);
    assert.equal(JSON.parse(live.on("health")[0]?.text ?? "{}").n, 1);
    assert.equal(live.on("health")[0]?.retain, false);
  });
});

describe("an absent broker is a state", { concurrency: 4 }, () => {
  test("it is tried again, nothing throws, and one line is logged", async () => {
    await using proxy = await startProxy(1);
    proxy.refuse(true);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`);
    await until("code", () => rig.link.connection.code !== undefined);
    await sleep(600);
    assert.equal(rig.link.connection.connected, false);
    const warnings = rig.log.entries.filter((one) => one.level === "warn");
    assert.ok(warnings.length <= 2, JSON.stringify(warnings));
    await rig.stop();
  });

  test("a cut line is reconnected and counted", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`);
    await until("connected", () => rig.link.connection.connected);
    for (let i = 1; i <= 3; i += 1) {
      proxy.cut();
      await until(
        "again",
        () => rig.link.connection.reconnects === i && rig.link.connection.connected,
      );
    }
  });

  test("a half-open line is noticed by its silence", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`, { keepaliveSeconds: 5 });
    await until("connected", () => rig.link.connection.connected);
    proxy.stall();
    await until("noticed", () => !rig.link.connection.connected, 12_000);
    proxy.heal();
    await until("again", () => rig.link.connection.connected);
  });

  test("stopping while it dials ends at once", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    proxy.stall();
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`);
    await until("dialling", () => proxy.connections() === 1);
    const before = Date.now();
    await rig.stop();
    assert.ok(Date.now() - before < 2000);
  });
});

test("the log holds no payload, no name and no credential", async () => {
  await using broker = await startBroker();
  await using rig = startLink(broker.url, { username: "user-secret" });
  rig.link.setRetained("info", { secret: "payload-secret" });
  rig.link.publishDecision(decisionFor("id-secret-1", 5000), () => {});
  await until("connected", () => rig.link.connection.connected);
  await using live = await listen(broker.url);
  await live.client.publishAsync(`${BASE}command/identity/put`, "command-secret", { qos: 1 });
  await broker.kill();
  await until("noticed", () => !rig.link.connection.connected);
  assert.doesNotMatch(JSON.stringify(rig.log.entries), /secret/);
  assert.ok(rig.log.entries.length > 0);
});

test("payloadOf reads what the link signs", async () => {
  await using broker = await startBroker();
  await using rig = startLink(broker.url);
  await until("connected", () => rig.link.connection.connected);
  await using live = await listen(broker.url);
  rig.link.publishDecision(decisionFor("decision-1", 5000), () => {});
  await until("heard", () => live.on("decision").length === 1);
  assert.equal(payloadOf(live.on("decision")[0]?.text ?? "")["device"], "lab/box");
});
