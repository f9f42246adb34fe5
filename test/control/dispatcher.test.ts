import assert from "node:assert/strict";
import { test } from "node:test";
import { COMMANDS } from "../../src/control/commands/registry.ts";
import type { IdentityId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { analysisOf, codeOfAnswer, faceOf, pngBase64, rig } from "./support/rig.ts";

const ada = { id: "ada", displayName: "Ada Lovelace" };
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("the registry holds exactly the commands that were promised", () => {
  assert.deepEqual(Object.keys(COMMANDS).sort(), [
    "camera/snapshot",
    "device/status",
    "enrolment/add-image",
    "enrolment/cancel",
    "enrolment/start",
    "event/replay",
    "gallery/stats",
    "identity/disable",
    "identity/erase",
    "identity/get",
    "identity/list",
    "identity/put",
    "update/abort",
    "update/apply",
    "update/check",
    "update/rollback",
    "update/status",
  ]);
});

test("unknown commands and wrong arguments are refused without an effect, and without their values", async () => {
  const { ask, store, handled } = rig();
  assert.equal(codeOfAnswer(await ask("identity/explode", {})), "unknown_command");
  assert.equal(codeOfAnswer(await ask("__proto__", {})), "unknown_command");
  const refused = await ask("identity/put", {
    ...ada,
    displayName: "Ada".repeat(100),
    shoeSize: 38,
  });
  assert.equal(codeOfAnswer(refused), "invalid_arguments");
  assert.doesNotMatch(JSON.stringify(refused), /AdaAda/);
  assert.match(JSON.stringify(refused), /args\.displayName/);
  assert.equal(store.identities.size, 0);
  assert.deepEqual(handled, [
    "unknown unknown_command",
    "unknown unknown_command",
    "identity/put invalid_arguments",
  ]);
});

test("a repeated id gets its stored answer and no second effect; an old number is a replay", async () => {
  const { ask, store } = rig();
  const first = await ask("identity/put", ada, { id: "put-00001", seq: 5 });
  assert.deepEqual(first, { ok: true, data: { id: "ada", created: true, enabled: true } });
  await ask("identity/erase", { id: "ada" }, { id: "erase-0001", seq: 6 });
  assert.deepEqual(await ask("identity/put", ada, { id: "put-00001", seq: 5 }), first);
  assert.equal(store.identities.size, 0);
  assert.equal(
    codeOfAnswer(await ask("identity/put", ada, { id: "put-00002", seq: 6 })),
    "replayed",
  );
  assert.equal(store.identities.size, 0);
});

test("the same command delivered twice at once has one effect and the same answer twice", async () => {
  const { open, store } = rig();
  const one = open("identity/put", ada, { id: "put-00001", seq: 1 });
  const two = open("identity/put", ada, { id: "put-00001", seq: 1 });
  await Promise.all([one.ended, two.ended]);
  assert.deepEqual(one.answers, two.answers);
  assert.equal(store.events.length, 1);
});

test("changes run one after another, in order; beyond the bound they are busy; reads pass", async () => {
  const { open, ask, vision, store } = rig({ queueMax: 2 });
  await ask("identity/put", ada);
  let release: () => void = () => undefined;
  vision.analysis = () =>
    new Promise((resolve) => {
      release = () => resolve(analysisOf(faceOf(1)));
    });
  const slow = open("enrolment/add-image", { id: "ada", image: pngBase64() });
  const next = open("identity/disable", { id: "ada" });
  const over = open("identity/erase", { id: "ada" });
  await over.ended;
  assert.equal(codeOfAnswer(over.answers[0]), "busy");
  assert.equal(codeOfAnswer(await ask("identity/get", { id: "ada" })), "ok");
  assert.deepEqual([slow.answers.length, next.answers.length], [0, 0]);
  release();
  await Promise.all([slow.ended, next.ended]);
  assert.deepEqual(
    store.events.map((event) => event.type),
    ["identity_put", "identity_enrolled", "identity_disabled"],
  );
});

test("a command that cannot be tried leaves nothing behind, so its id may be sent again", async () => {
  const { ask, vision, store } = rig();
  await ask("identity/put", ada);
  const analyse = vision.analysis;
  vision.analysis = async () => {
    throw new Fault("vision_unavailable", "vision is restarting: send it again", {
      retry: "later",
    });
  };
  const args = { id: "ada", image: pngBase64() };
  assert.equal(
    codeOfAnswer(await ask("enrolment/add-image", args, { id: "image-001", seq: 10 })),
    "vision_unavailable",
  );
  vision.analysis = analyse;
  assert.equal(
    codeOfAnswer(await ask("enrolment/add-image", args, { id: "image-001", seq: 10 })),
    "ok",
  );
  assert.equal(store.stored.length, 1);
});

test("an unforeseen failure is told as internal; its text stays in the log", async () => {
  const { ask, vision, log } = rig();
  await ask("identity/put", ada);
  vision.analysis = async () => {
    throw new TypeError("cannot read secrets of undefined");
  };
  const answer = await ask("enrolment/add-image", { id: "ada", image: pngBase64() });
  assert.equal(codeOfAnswer(answer), "internal");
  assert.doesNotMatch(JSON.stringify(answer), /secrets/);
  assert.equal(log.entries.at(-1)?.level, "error");
});

test("a preparation that hangs is given up and the next command runs", async () => {
  const { open, ask, vision, clock, store } = rig();
  await ask("identity/put", ada);
  vision.analysis = () => new Promise(() => {});
  const hung = open("enrolment/add-image", { id: "ada", image: pngBase64() });
  const next = open("identity/disable", { id: "ada" });
  await settle();
  await (clock as { advance: (ms: number) => Promise<void> }).advance(21_000);
  await Promise.all([hung.ended, next.ended]);
  assert.equal(codeOfAnswer(hung.answers[0]), "timeout");
  assert.equal(codeOfAnswer(next.answers[0]), "ok");
  assert.equal(store.stored.length, 0);
});

test("a stopped dispatcher refuses and lets what is being prepared go without an effect", async () => {
  const { open, ask, vision, dispatcher, store } = rig();
  await ask("identity/put", ada);
  vision.analysis = () => new Promise(() => {});
  const hung = open("enrolment/add-image", { id: "ada", image: pngBase64() });
  await settle();
  await dispatcher[Symbol.asyncDispose]();
  assert.equal(codeOfAnswer(hung.answers[0]), "stopping");
  assert.equal(codeOfAnswer(await ask("identity/erase", { id: "ada" })), "stopping");
  assert.ok(store.identities.has("ada" as IdentityId));
});

test("every effect is an event with its actor, and no event holds a name", async () => {
  const { ask, store, dispatcher } = rig();
  await ask("identity/put", { ...ada, metadata: { note: "mathematician" } }, { id: "put-00001" });
  await ask("enrolment/add-image", { id: "ada", image: pngBase64() });
  await ask("identity/disable", { id: "ada" });
  await new Promise<void>((resolve) => {
    void dispatcher.submitLocal(
      { id: "local-0001", name: "identity/erase", args: { id: "ada" } },
      () => resolve(),
    );
  });
  assert.deepEqual(
    store.events.map(({ type, body }) => [type, body["identity"], body["actor"]]),
    [
      ["identity_put", "ada", "0123456789abcdef"],
      ["identity_enrolled", "ada", "0123456789abcdef"],
      ["identity_disabled", "ada", "0123456789abcdef"],
      ["identity_erased", "ada", "local"],
    ],
  );
  assert.doesNotMatch(JSON.stringify(store.events), /Lovelace|mathematician/);
});
