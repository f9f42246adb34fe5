import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, connectAsync } from "mqtt";
import { Envelope } from "../../src/lib/envelope.ts";
import { KeyRing } from "../../src/mqtt/envelope.ts";
import { type Broker, startBroker } from "../support/broker.ts";
import { startProxy } from "../support/proxy.ts";
import {
  BASE,
  decisionFor,
  type Listener,
  listen,
  payloadOf,
  startLink,
  until,
} from "./harness.ts";

const noop = (): void => {};
const idsOf = (live: Listener): unknown[] =>
  live.on("decision").map((one) => payloadOf(one.text)["id"]);

describe("the live feed", { concurrency: 4 }, () => {
  test("a decision is signed, not retained, expires, and is acknowledged once", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    let acks = 0;
    rig.link.publishDecision(decisionFor("d-1", 5000), () => {
      acks += 1;
    });
    await until("heard and acked", () => acks === 1 && live.on("decision").length === 1);
    const heard = live.on("decision")[0];
    assert.ok(heard !== undefined);
    assert.equal(heard.retain, false);
    assert.equal(heard.packet.qos, 1);
    assert.ok((heard.packet.properties?.messageExpiryInterval ?? 99) <= 5);
    assert.ok(new KeyRing([rig.signer.publicKey]).verify(Envelope.parse(JSON.parse(heard.text))));
    const { id, kind, device, outcome, reason, door, camera, scoreBand } = payloadOf(heard.text);
    assert.deepEqual(
      { id, kind, device, outcome, reason, door, camera, scoreBand },
      {
        id: "d-1",
        kind: "decision",
        device: "lab/box",
        outcome: "deny",
        reason: "unknown",
        door: "front",
        camera: "hall",
        scoreBand: "low",
      },
    );
    await using late = await listen(broker.url);
    await sleep(100);
    assert.equal(late.on("decision").length, 0);
  });

  test("what expired while the broker was away is never sent; what did not is", async () => {
    await using broker = await startBroker({ persistence: true });
    await using rig = startLink(broker.url);
    await using live = await listen(broker.url);
    await until("connected", () => rig.link.connection.connected);
    await broker.stop();
    await until("noticed", () => !rig.link.connection.connected);
    rig.link.publishDecision(decisionFor("short", 2000), () => assert.fail("acknowledged"));
    rig.link.publishDecision(decisionFor("long", 30_000), noop);
    await sleep(2100);
    await broker.start();
    await until("the living one", () => idsOf(live).includes("long"));
    await sleep(200);
    assert.deepEqual(idsOf(live), ["long"]);
    assert.equal(rig.link.counters.decisionsExpired, 1);
  });

  test("a decision caught on a dead line is not delivered when the line is back (double-take#281)", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    proxy.stall();
    rig.link.publishDecision(decisionFor("stuck", 3000), () => assert.fail("acknowledged"));
    await until("the connection is given up at expiry", () => proxy.ended() === 1, 6000);
    proxy.heal();
    await until("reconnected", () => rig.link.connection.connected);
    rig.link.publishDecision(decisionFor("fresh", 5000), noop);
    await until("fresh", () => idsOf(live).includes("fresh"));
    await sleep(300);
    assert.deepEqual(idsOf(live), ["fresh"]);
  });

  test("an unacknowledged decision that still lives is sent again on the next connection", async () => {
    await using broker = await startBroker();
    await using proxy = await startProxy(broker.port);
    await using rig = startLink(`mqtt://127.0.0.1:${proxy.port}`);
    await until("connected", () => rig.link.connection.connected);
    await using live = await listen(broker.url);
    let acked = false;
    proxy.stall();
    rig.link.publishDecision(decisionFor("again", 20_000), () => {
      acked = true;
    });
    await sleep(50);
    proxy.cut();
    proxy.heal();
    await until("acked", () => acked);
    assert.ok(idsOf(live).includes("again"));
  });

  test("the broker does not keep one for a subscriber that was away", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    const session = {
      protocolVersion: 5,
      clientId: "sleeper",
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    } as const;
    const before = await connectAsync(broker.url, session);
    await before.subscribeAsync(`${BASE}decision`, { qos: 1 });
    await before.endAsync();
    let acked = 0;
    rig.link.publishDecision(decisionFor("slept-through", 3000), () => {
      acked += 1;
    });
    rig.link.publishDecision(decisionFor("still-good", 30_000), () => {
      acked += 1;
    });
    await until("acked", () => acked === 2);
    await sleep(4100);
    const ids: unknown[] = [];
    const after = connect(broker.url, session);
    after.on("message", (_topic, payload) => ids.push(payloadOf(payload.toString())["id"]));
    await until("the living one", () => ids.includes("still-good"));
    await after.endAsync(true);
    assert.deepEqual(ids, ["still-good"]);
  });

  test("the queue is bounded: the oldest make room", async () => {
    await using rig = startLink("mqtt://127.0.0.1:1");
    for (let i = 0; i < 70; i += 1) rig.link.publishDecision(decisionFor(`d-${i}`, 5000), noop);
    assert.equal(rig.link.counters.decisionsOverflowed, 6);
  });
});

function seqsOf(live: Listener): number[] {
  return live.on("event").map((one) => payloadOf(one.text)["seq"] as number);
}

async function restartAt(broker: Broker, live: Listener, count: number): Promise<void> {
  await until(`${count} events`, () => new Set(seqsOf(live)).size >= count);
  await broker.kill();
  await broker.start();
}

describe("the reliable feed", { concurrency: 2 }, () => {
  test("500 events arrive without a gap across three kills of the broker", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await using live = await listen(broker.url);
    await until("connected", () => rig.link.connection.connected);
    const feeding = (async () => {
      for (let i = 0; i < 50; i += 1) {
        rig.outbox.append(10);
        await sleep(10);
      }
    })();
    for (const count of [50, 150, 250]) await restartAt(broker, live, count);
    await feeding;
    await until("all sent", () => rig.outbox.sent.size === 500);
    // The broker kept nothing and the listener was away at times: ask for history, as a consumer does.
    await until("listening", () => live.client.connected);
    const missing = (): number[] =>
      Array.from({ length: 500 }, (_, i) => i + 1).filter((seq) => !seqsOf(live).includes(seq));
    const first = missing()[0];
    if (first !== undefined) {
      assert.equal(rig.link.replayEvents(first, 500).kind, "started");
      await until("no gap", () => missing().length === 0);
    }
    const unique = [
      ...new Set(
        live
          .on("event")
          .filter((one) => payloadOf(one.text)["replayed"] !== true)
          .map((one) => payloadOf(one.text)["seq"] as number),
      ),
    ];
    assert.deepEqual(
      unique,
      unique.toSorted((a, b) => a - b),
      "fresh events come in order",
    );
  });

  test("exactly what is unsent is sent", async () => {
    await using broker = await startBroker();
    await using live = await listen(broker.url);
    await using rig = startLink(broker.url);
    rig.outbox.append(30);
    for (let seq = 1; seq <= 30; seq += 1) if (seq % 3 !== 0) rig.outbox.markSent(seq);
    await until(
      "sent and heard",
      () => rig.outbox.sent.size === 30 && live.on("event").length >= 10,
    );
    assert.deepEqual(seqsOf(live), [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]);
    const payload = payloadOf(live.on("event")[0]?.text ?? "");
    assert.deepEqual(payload, {
      schema: 1,
      kind: "event",
      device: "lab/box",
      seq: 3,
      type: "decision",
      at: "2025-10-09T08:53:20.003Z",
      actionable: false,
      body: { n: 3 },
    });
  });

  test("a replay says so, is bounded, and there is one at a time", async () => {
    await using broker = await startBroker();
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    rig.outbox.append(100);
    await until("sent", () => rig.outbox.sent.size === 100);
    await using live = await listen(broker.url);
    assert.deepEqual(rig.link.replayEvents(91, 5), { kind: "started", first: 91, last: 95 });
    assert.deepEqual(rig.link.replayEvents(1, 5), { kind: "busy" });
    await until("replayed", () => live.on("event").length === 5);
    assert.deepEqual(seqsOf(live), [91, 92, 93, 94, 95]);
    assert.ok(live.on("event").every((one) => payloadOf(one.text)["replayed"] === true));
    await until("free again", () => rig.link.replayEvents(101, 1).kind === "empty");
  });

  test("never more than the broker's receive maximum in flight", async () => {
    await using broker = await startBroker({ config: ["max_inflight_messages 5"] });
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    rig.outbox.append(200);
    await until("sent", () => rig.outbox.sent.size === 200);
    assert.equal(rig.link.connection.reconnects, 0);
  });

  test("a refused event is kept, the feed pauses, decisions go on", async () => {
    const { writeFile, mkdtemp } = await import("node:fs/promises");
    const acl = `${await mkdtemp("/tmp/ostiary-acl-")}/acl`;
    await writeFile(
      acl,
      `topic readwrite ${BASE}decision\ntopic readwrite ${BASE}state\ntopic read ${BASE}command/#\n`,
    );
    await using broker = await startBroker({ config: [`acl_file ${acl}`] });
    await using rig = startLink(broker.url);
    await until("connected", () => rig.link.connection.connected);
    rig.outbox.append(1);
    await until("paused", () =>
      rig.log.entries.some((one) => one.message === "the event feed pauses"),
    );
    let acked = false;
    rig.link.publishDecision(decisionFor("d-acl", 5000), () => {
      acked = true;
    });
    await until("acked", () => acked);
    assert.equal(rig.outbox.sent.size, 0);
  });
});
