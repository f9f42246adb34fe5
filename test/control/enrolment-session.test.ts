import assert from "node:assert/strict";
import { test } from "node:test";
import { SimulatedClock } from "../support/clock.ts";
import { type analysisOf, codeOfAnswer, FRONT, faceOf, frameOf, rig } from "./support/rig.ts";

const settle = async (): Promise<void> => {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
};

async function standing() {
  const clock = new SimulatedClock();
  const parts = rig({}, clock);
  await parts.ask("identity/put", { id: "ada", displayName: "Ada" });
  const session = parts.open(
    "enrolment/start",
    { id: "ada", cameraId: FRONT, shots: 3 },
    { id: "start-001", seq: 50 },
  );
  await settle();
  const see = async (...faces: Parameters<typeof analysisOf>): Promise<void> => {
    await clock.advance(1100);
    parts.vision.collecting?.(frameOf(clock.monotonicMs(), ...faces));
    await settle();
  };
  return { ...parts, clock, session, see };
}

test("collects good shots, tells what to do, and commits once", async () => {
  const { session, see, store, vision, ask } = await standing();
  assert.deepEqual(session.answers, [{ ok: true, progress: { state: "started", wanted: 3 } }]);
  await see(faceOf(1, ["too_small"]));
  assert.deepEqual(session.answers.at(-1), {
    ok: true,
    progress: {
      accepted: 0,
      wanted: 3,
      lastReason: "low_quality",
      quality: ["too_small"],
      hints: ["come_closer"],
    },
  });
  for (let i = 0; i < 3; i += 1) await see(faceOf(1));
  await session.ended;
  const last = { ok: true, data: { id: "ada", added: 3, templates: 3 } };
  assert.deepEqual(session.answers.at(-1), last);
  assert.equal(store.stored.length, 3);
  assert.equal(vision.collecting, undefined, "vision no longer collects");
  assert.deepEqual(
    await ask("enrolment/start", { id: "ada", cameraId: FRONT }, { id: "start-001", seq: 50 }),
    last,
  );
  assert.equal(store.stored.length, 3);
});

test("other changes run meanwhile, a second enrolment does not", async () => {
  const { ask, session, clock } = await standing();
  assert.equal(
    codeOfAnswer(await ask("identity/put", { id: "bob", displayName: "Bob" }, { seq: 60 })),
    "ok",
  );
  assert.equal(
    codeOfAnswer(await ask("enrolment/start", { id: "bob", cameraId: FRONT }, { seq: 61 })),
    "busy",
  );
  await clock.advance(11_000);
  await session.ended;
  assert.equal(codeOfAnswer(session.answers.at(-1)), "timeout");
});

test("cancel ends it without a trace of the face", async () => {
  const { ask, session, see, store } = await standing();
  await see(faceOf(1));
  assert.equal(codeOfAnswer(await ask("enrolment/cancel", { cameraId: FRONT })), "ok");
  await session.ended;
  assert.equal(codeOfAnswer(session.answers.at(-1)), "cancelled");
  assert.equal(store.stored.length, 0);
  assert.equal(store.events.at(-1)?.type, "enrolment_failed");
  assert.equal(codeOfAnswer(await ask("enrolment/cancel", { cameraId: FRONT })), "no_enrolment");
});

test("an identity erased meanwhile stays erased", async () => {
  const { ask, session, see, store } = await standing();
  await see(faceOf(1));
  await ask("identity/erase", { id: "ada" }, { seq: 60 });
  for (let i = 0; i < 2; i += 1) await see(faceOf(1));
  await session.ended;
  assert.equal(codeOfAnswer(session.answers.at(-1)), "unknown_identity");
  assert.equal(store.stored.length, 0);
});

test("a second delivery follows the running one; one left by a dead process is interrupted", async () => {
  const { open, session, see, store, ask } = await standing();
  const again = open(
    "enrolment/start",
    { id: "ada", cameraId: FRONT, shots: 3 },
    { id: "start-001", seq: 50 },
  );
  for (let i = 0; i < 3; i += 1) await see(faceOf(1));
  await Promise.all([session.ended, again.ended]);
  assert.deepEqual(again.answers.at(-1), session.answers.at(-1));

  store.finishCommand("0123456789abcdef", "start-001", 0 as never, () => ({
    ok: true,
    progress: { state: "started" },
  }));
  assert.equal(
    codeOfAnswer(
      await ask("enrolment/start", { id: "ada", cameraId: FRONT }, { id: "start-001", seq: 50 }),
    ),
    "interrupted",
  );
});

test("stopping the daemon ends it as interrupted, stored", async () => {
  const { session, dispatcher, store } = await standing();
  await dispatcher[Symbol.asyncDispose]();
  await session.ended;
  assert.equal(codeOfAnswer(session.answers.at(-1)), "interrupted");
  assert.equal(codeOfAnswer(store.answered("0123456789abcdef", "start-001")), "interrupted");
});
