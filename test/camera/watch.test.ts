import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  isDegraded,
  startWatch,
  step,
  type WatchInput,
  type WatchLimits,
  type WatchState,
} from "../../src/camera/watch.ts";
import { type CameraId, epochMs, type MonotonicMs, monotonicMs } from "../../src/lib/brand.ts";
import type { CameraHealthMessage } from "../../src/observation/messages.ts";

const limits: WatchLimits = {
  connectMs: 10_000,
  stallMs: 5000,
  frozenMs: 10_000,
  frozenRestartMs: 10_000,
  driftMaxMs: 2000,
  fps: 10,
  overshootFactor: 3,
  visionAwayMaxMs: 30_000,
};

const T0 = 1_000_000;
const at = (ms: number): MonotonicMs => monotonicMs(T0 + ms);

function health(
  frameAt: number | undefined,
  fields: Partial<CameraHealthMessage> = {},
): WatchInput {
  return {
    kind: "health",
    health: {
      kind: "camera-health",
      cameraId: "door" as CameraId,
      framesReceived: 0,
      framesDropped: 0,
      framesProcessed: 0,
      resyncs: 0,
      ...(frameAt === undefined
        ? {}
        : { lastFrameAt: { monotonicMs: at(frameAt), epochMs: epochMs(0) } }),
      driftMs: 0,
      frozenMs: 0,
      fps: 10,
      ...fields,
    },
  };
}

/** Plays inputs at their times; returns the first restart, or `keep`, and the last state. */
function play(
  inputs: readonly (readonly [number, WatchInput])[],
  over: Partial<WatchLimits> = {},
): { readonly said: string; readonly state: WatchState } {
  let state = startWatch(at(0));
  for (const [ms, input] of inputs) {
    const next = step(state, input, at(ms), { ...limits, ...over });
    state = next.state;
    if (next.verdict.kind === "restart") return { said: `${next.verdict.reason} at ${ms}`, state };
  }
  return { said: "keep", state };
}

/** One health a second, each with what `make` says. */
const seconds = (
  from: number,
  to: number,
  make: (ms: number) => WatchInput,
): (readonly [number, WatchInput])[] =>
  Array.from(
    { length: to - from + 1 },
    (_, i) => [(from + i) * 1000, make((from + i) * 1000)] as const,
  );
const well = (ms: number): WatchInput => health(ms - 50);

test("frames every second: keep", () => {
  const { said, state } = play(seconds(1, 60, well));
  assert.equal(said, "keep");
  assert.equal(state.moved, true);
  assert.equal(isDegraded(state, at(60_100), limits), false);
});

test("no first frame within the connect time", () => {
  assert.equal(play(seconds(1, 20, () => health(undefined))).said, "no_frames at 10000");
});

test("a frame from before this decoder is not its first", () => {
  assert.equal(play(seconds(1, 20, () => health(-10))).said, "no_frames at 10000");
});

test("a frame from the future proves nothing", () => {
  assert.equal(play(seconds(1, 20, () => health(1_000_000))).said, "no_frames at 10000");
});

test("no new frame for the stall time", () => {
  assert.equal(
    play([...seconds(1, 3, well), ...seconds(4, 20, () => health(2950))]).said,
    "stalled at 8000",
  );
});

test("silence of vision is no stall, and shows as degraded", () => {
  const { said, state } = play([
    ...seconds(1, 3, well),
    [20_000, { kind: "tick" }],
    [20_100, well(20_100)],
  ]);
  assert.equal(said, "keep");
  assert.equal(isDegraded(state, at(23_000), limits), true);
});

test("while vision is replaced nothing is held against the camera; afterwards the clock starts anew", () => {
  const lost = [
    ...seconds(1, 3, well),
    [3100, { kind: "vision-lost" }],
    [12_000, { kind: "tick" }],
  ] as const;
  const back = [
    [13_000, { kind: "vision-back" }],
    [14_000, health(2950)],
    [17_900, health(2950)],
  ] as const;
  assert.equal(play([...lost, ...back]).said, "keep");
  assert.equal(play([...lost, ...back, [18_000, health(2950)]]).said, "stalled at 18000");
});

test("health that was under way when vision died is ignored", () => {
  const { said } = play([
    [1000, well(1000)],
    [2000, { kind: "vision-lost" }],
    [9000, health(950)],
  ]);
  assert.equal(said, "keep");
});

test("vision away for too long ends the decoder", () => {
  assert.equal(
    play([
      [1000, well(1000)],
      [2000, { kind: "vision-lost" }],
      [31_999, { kind: "tick" }],
    ]).said,
    "keep",
  );
  assert.equal(
    play([
      [1000, well(1000)],
      [2000, { kind: "vision-lost" }],
      [3000, { kind: "vision-lost" }],
      [32_000, { kind: "tick" }],
    ]).said,
    "vision_away at 32000",
  );
});

test("a frozen picture: shown at the limit, reconnected at the restart limit", () => {
  const frozen = seconds(1, 60, (ms) => health(ms - 50, { frozenMs: ms - 1000 }));
  assert.equal(play(frozen).said, "frozen at 11000");
  const patient = play(frozen, { frozenRestartMs: 40_000 });
  assert.equal(patient.said, "frozen at 41000");
  assert.deepEqual([patient.state.frozen, patient.state.moved], [true, false]);
  assert.equal(play(frozen, { frozenMs: 0, frozenRestartMs: 0 }).said, "keep");
});

test("latency that grows is drift; twice in a row is enough", () => {
  const growing = seconds(1, 60, (ms) => health(ms - 50, { driftMs: ms / 10 }));
  assert.equal(play(growing).said, "drifted at 23000");
  assert.equal(play(growing, { driftMaxMs: 0 }).said, "keep");
  const once = seconds(1, 60, (ms) => health(ms - 50, { driftMs: ms === 30_000 ? 9000 : 0 }));
  assert.equal(play(once).said, "keep");
});

test("a backlog at the start is the floor's business, not the camera's", () => {
  // First frames came 3 s late and were then caught up with.
  const catchingUp = seconds(1, 60, (ms) => health(ms - 50, { driftMs: Math.max(-3000, -ms) }));
  assert.equal(play(catchingUp).said, "keep");
});

test("a crystal 80 ppm off is never drift, however long", () => {
  const day = Array.from(
    { length: 24 * 60 },
    (_, i) => [i * 60_000, health(i * 60_000 - 50, { driftMs: i * 60_000 * 80e-6 })] as const,
  );
  assert.equal(play(day.slice(1), { connectMs: 1e9, stallMs: 1e9 }).said, "keep");
});

test("too many frames three times in a row", () => {
  assert.equal(play(seconds(1, 9, (ms) => health(ms - 50, { fps: 31 }))).said, "overshot at 3000");
  assert.equal(
    play(seconds(1, 9, (ms) => health(ms - 50, { fps: ms % 3000 === 0 ? 10 : 31 }))).said,
    "keep",
  );
  assert.equal(
    play(
      seconds(1, 9, (ms) => health(ms - 50, { fps: 500 })),
      { overshootFactor: 0 },
    ).said,
    "keep",
  );
});

test("one report of too many frames is a burst that was held up; two in a row show as degraded", () => {
  const burst = (...reports: readonly number[]): boolean => {
    const fast = seconds(1, 9, (ms) => health(ms - 50, { fps: reports.includes(ms) ? 55 : 10 }));
    const { state } = play(fast);
    return isDegraded(state, at(9100), limits);
  };
  assert.equal(burst(9000), false);
  assert.equal(burst(7000, 9000), false);
  assert.equal(burst(8000, 9000), true);
});

test("whatever comes, a camera with fresh frames and no fault is kept", () => {
  const input: fc.Arbitrary<WatchInput["kind"]> = fc.constantFrom(
    "health",
    "tick",
    "vision-lost",
    "vision-back",
  );
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 3000 }), input), { maxLength: 60 }),
      (events) => {
        let now = 0;
        let state = startWatch(at(0));
        for (const [wait, kind] of events) {
          now += wait;
          const { state: next, verdict } = step(
            state,
            kind === "health" ? well(now) : { kind },
            at(now),
            limits,
          );
          state = next;
          if (verdict.kind === "restart") assert.equal(verdict.reason, "vision_away");
        }
      },
    ),
  );
});
