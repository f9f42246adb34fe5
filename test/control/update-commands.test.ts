/** The commands about updates, over a real updater. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { statusText } from "../../src/cli/update.ts";
import type { Answer } from "../../src/lib/envelope.ts";
import { UpdateRig, WELL } from "../update/rig.ts";
import { tinyPack } from "../update/support.ts";
import { codeOfAnswer, rig } from "./support/rig.ts";

const NEW = tinyPack({ counter: 2, spaceId: "space-2" });
const ALL = ["status", "check", "apply", "abort", "rollback"] as const;
const dataOf = (answer: Answer) =>
  answer.ok ? (answer.data as Record<string, unknown>) : assert.fail(JSON.stringify(answer));

function asked(updates?: UpdateRig) {
  const { ask, commands } = rig();
  if (updates !== undefined) Object.assign(commands, { updates: updates.updater });
  return (name: (typeof ALL)[number]): Promise<Answer> => ask(`update/${name}`, {});
}

test("a device without updates says how to set them up", async () => {
  const ask = asked();
  for (const name of ALL) assert.equal(codeOfAnswer(await ask(name)), "updates_off", name);
});

test("check finds, abort ends, apply starts again, rollback goes back; each answers when it is done", async () => {
  await using device = await UpdateRig.open();
  const ask = asked(device);
  assert.equal(codeOfAnswer(await ask("abort")), "nothing_to_abort");
  assert.equal(codeOfAnswer(await ask("rollback")), "nothing_to_roll_back");
  device.source.add(NEW);
  device.source.desired = device.director.wants(NEW);
  device.runtime.holds.add("shadow");
  assert.notEqual(dataOf(await ask("check"))["state"], "idle");
  await device.reach("shadow");
  assert.equal(dataOf(await ask("abort"))["state"], "rolled-back");
  device.runtime.holds.clear();
  await ask("apply");
  await device.reach("probation");
  device.runtime.sample = { ...WELL, elapsedMs: 60_000 };
  await device.reach("committed");
  const back = dataOf(await ask("rollback"));
  assert.equal(back["state"], "rolled-back");
  assert.equal(device.runtime.active().pack.id, "pack-1");
  assert.deepEqual(dataOf(await ask("status"))["active"], back["active"]);
});

test("the CLI shows what matters of it", async () => {
  await using device = await UpdateRig.open();
  const ask = asked(device);
  device.source.add(NEW);
  device.runtime.withoutCrops = ["eve"];
  device.updater.hear(device.director.wants(NEW));
  await device.until(() => device.reports.at(-1)?.deferred === "no_crops", "it waits for eve");
  const text = statusText(dataOf(await ask("status")));
  for (const line of [
    /^state +re-embedding/m,
    /^waits for +no crops$/m,
    /^active +pack-1 \(release 1, space space-1\)$/m,
    /^before it +the factory pack$/m,
    /^candidate +pack-2/m,
    /^without a picture +eve$/m,
  ])
    assert.match(text, line);
});
