import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { epochMs } from "../../src/lib/brand.ts";
import { AnswerQueue } from "../../src/mqtt/answer-queue.ts";
import type { IncomingCommand } from "../../src/mqtt/command.ts";
import { CommandQueue } from "../../src/mqtt/command-queue.ts";
import { DecisionQueue } from "../../src/mqtt/decision-queue.ts";
import { EventPump, type OutgoingEvent } from "../../src/mqtt/event-pump.ts";
import { RetainedStates } from "../../src/mqtt/retained-states.ts";
import { SimulatedClock } from "../support/clock.ts";
import { decisionFor, MemoryOutbox } from "./harness.ts";

const noop = (): void => {};

describe("DecisionQueue", () => {
  test("hands out nothing at or after expiry, whatever happens before", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ ttlMs: fc.integer({ min: -500, max: 9000 }), waitMs: fc.nat(4000) }), {
          maxLength: 20,
        }),
        async (steps) => {
          const clock = new SimulatedClock();
          const queue = new DecisionQueue(64, clock);
          for (const { ttlMs, waitMs } of steps) {
            queue.put(decisionFor("d", ttlMs, clock.epochMs()), noop);
            await clock.advance(waitMs);
          }
          for (let taken = queue.take(); taken !== undefined; taken = queue.take()) {
            const leftMs = taken.pending.decision.expiresAt - clock.epochMs();
            assert.ok(leftMs >= 1000 && taken.leftSeconds * 1000 <= leftMs);
          }
          assert.equal(queue.size, 0);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("a wall clock set back revives nothing, also not after a connection was lost", async () => {
    const clock = new SimulatedClock();
    let stepMs = 0;
    const queue = new DecisionQueue(64, {
      ...clock,
      epochMs: () => epochMs(clock.epochMs() + stepMs),
    });
    queue.put(decisionFor("d", 5000, clock.epochMs()), noop);
    const taken = queue.take();
    assert.ok(taken !== undefined);
    queue.putBack(taken.pending);
    stepMs = -3_600_000;
    await clock.advance(6000);
    assert.equal(queue.take(), undefined);
    assert.equal(queue.expired, 1);
  });
});

describe("EventPump", () => {
  test("every event is acknowledged at the end, whatever acks, refusals and losses come between", () => {
    const step = fc.constantFrom("append", "take", "ack", "refuse", "lose");
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const outbox = new MemoryOutbox();
        const pump = new EventPump(outbox);
        outbox.onAppended(() => pump.appended());
        let flying: OutgoingEvent[] = [];
        const take = (): boolean => {
          const next = pump.take();
          if (next !== undefined) flying.push(next);
          return next !== undefined;
        };
        const act = {
          append: () => outbox.append(3),
          take,
          ack: () => settle("acked"),
          refuse: () => settle("refused"),
          lose: () => lose(),
        };
        const settle = (outcome: "acked" | "refused"): void => {
          const one = flying.shift();
          if (one !== undefined) pump.settle(one, outcome);
        };
        const lose = (): void => {
          flying = [];
          pump.connectionLost();
        };
        for (const one of steps) {
          act[one]();
          assert.equal(
            new Set(flying.map(({ event }) => event.seq)).size,
            flying.length,
            "no event flies twice at once",
          );
        }
        lose();
        const order: number[] = [];
        while (take()) {
          order.push(flying[0]?.event.seq ?? 0);
          settle("acked");
        }
        assert.equal(outbox.sent.size, outbox.rows.length);
        assert.deepEqual(
          order,
          order.toSorted((a, b) => a - b),
        );
      }),
    );
  });

  test("a replay interrupted by a lost connection covers everything it promised", () => {
    const outbox = new MemoryOutbox();
    outbox.append(120);
    for (const row of outbox.rows) outbox.markSent(row.seq);
    const pump = new EventPump(outbox);
    assert.deepEqual(pump.startReplay(11, 100), { kind: "started", first: 11, last: 110 });
    const arrived = new Set<number>();
    for (let i = 0; i < 60; i += 1) {
      const one = pump.take();
      assert.ok(one?.replayed);
      if (i >= 50) continue;
      arrived.add(one.event.seq);
      pump.settle(one, "acked");
    }
    pump.connectionLost();
    for (let one = pump.take(); one !== undefined; one = pump.take()) {
      arrived.add(one.event.seq);
      pump.settle(one, "acked");
    }
    assert.deepEqual(
      [...arrived],
      Array.from({ length: 100 }, (_, i) => i + 11),
    );
    assert.equal(pump.startReplay(1, 1).kind, "started");
  });
});

describe("RetainedStates", () => {
  test("the newest value once per change; all of them after a reconnect; bounded", () => {
    const states = new RetainedStates();
    assert.ok(states.set("a", { n: 1 }) && states.set("a", { n: 2 }) && !states.set("a", { n: 2 }));
    assert.equal(states.take()?.text, '{"n":2}');
    assert.equal(states.take(), undefined);
    states.markAllDirty();
    assert.equal(states.take()?.topic, "a");
    for (let i = 0; i < 255; i += 1) states.set(`t${i}`, {});
    assert.throws(() => states.set("one more", {}), { code: "too_many_topics" });
    assert.throws(() => states.set("a", { pad: "x".repeat(70_000) }), { code: "state_too_large" });
  });
});

describe("AnswerQueue", () => {
  const target = { kid: "0123456789abcdef", replyTo: "me", correlation: "c" };

  test("bounded, and nothing older than a minute is sent", async () => {
    const clock = new SimulatedClock();
    const queue = new AnswerQueue(2, 1000, clock);
    for (const n of [1, 2, 3]) queue.put(target, { ok: true, data: n });
    assert.equal(queue.dropped, 1);
    assert.match(queue.take()?.text ?? "", /"data":2/);
    await clock.advance(60_000);
    assert.equal(queue.take(), undefined);
    assert.equal(queue.dropped, 2);
  });

  test("an answer that is too large says so instead", () => {
    const queue = new AnswerQueue(2, 1000, new SimulatedClock());
    queue.put(target, { ok: true, data: "x".repeat(1000) });
    assert.match(queue.take()?.text ?? "", /answer_too_large/);
  });
});

describe("CommandQueue", () => {
  const command = (name: string, bytes = 10): IncomingCommand => ({
    name,
    bytes: new Uint8Array(bytes),
    retained: false,
    reply: { kind: "none" },
    receivedAt: new SimulatedClock().epochMs(),
  });

  test("bounded by number and bytes; in order; ends when closed", async () => {
    const queue = new CommandQueue(3, 100);
    assert.ok(queue.put(command("a")) && queue.put(command("b")));
    assert.equal(queue.put(command("huge", 99)), false);
    assert.ok(queue.put(command("c")));
    assert.equal(queue.put(command("d")), false);
    const names: string[] = [];
    for await (const { name } of queue) {
      names.push(name);
      if (name === "c") queue.close();
    }
    assert.deepEqual(names, ["a", "b", "c"]);
    assert.equal(queue.put(command("late")), false);
  });
});
