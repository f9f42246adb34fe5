import assert from "node:assert/strict";
import { test } from "node:test";
import { DoorStates } from "../../src/control/door-states.ts";
import type { Decision } from "../../src/decision/decision.ts";
import { AccessRules } from "../../src/decision/rules.ts";
import type { DoorId } from "../../src/lib/brand.ts";
import { SimulatedClock } from "../support/clock.ts";

const front = "front" as DoorId;
const rules = AccessRules.parse({ doors: [{ id: "front", cameras: ["hall"] }] });

function doors(lockdown = false) {
  const clock = new SimulatedClock();
  const said: string[] = [];
  const states = new DoorStates({
    clock,
    mode: () => (lockdown ? "lockdown" : "normal"),
    publish: (_, state) => said.push(state),
  });
  const grant = (id: string, forMs: number): Decision =>
    ({
      id,
      doorId: front,
      outcome: "grant",
      expiresAt: clock.epochMs() + forMs,
    }) as unknown as Decision;
  return { clock, said, states, grant, signal: new AbortController().signal };
}

test("a door is locked until granted, and again when the grant expires", async () => {
  const { clock, said, states, grant, signal } = doors();
  states.apply(rules);
  states.granted(grant("a", 5000), signal);
  await clock.advance(4999);
  assert.deepEqual(said, ["locked", "unlocked"]);
  await clock.advance(1);
  assert.deepEqual(said, ["locked", "unlocked", "locked"]);
});

test("a newer grant keeps it unlocked until the newer one expires", async () => {
  const { clock, said, states, grant, signal } = doors();
  states.granted(grant("a", 5000), signal);
  await clock.advance(3000);
  states.granted(grant("b", 5000), signal);
  await clock.advance(4999);
  assert.equal(said.at(-1), "unlocked");
  await clock.advance(1);
  assert.equal(said.at(-1), "locked");
});

test("lockdown is said whatever was granted", () => {
  const { said, states, grant, signal } = doors(true);
  states.granted(grant("a", 5000), signal);
  assert.deepEqual(said, ["lockdown"]);
});
