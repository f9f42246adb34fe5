/** When a ring was good, whose word counts, and who is in which ring. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Ring, readFleet } from "../../scripts/release/fleet.ts";
import { judgeReport } from "../../scripts/release/reports.ts";
import { countRing, judgeRing, stageOf } from "../../scripts/release/rollout.ts";
import type { Heard } from "../../scripts/release/state.ts";
import { PackIdSchema, SpaceIdSchema } from "../../src/lib/id.ts";
import { type Signer, seal } from "../../src/mqtt/envelope.ts";
import type { UpdateReport } from "../../src/release/report.ts";
import { newSigner } from "../mqtt/harness.ts";

const NOW = Date.UTC(2026, 10, 26);
const HOUR_MS = 3_600_000;
const JOB = "2026-11-26-abcdef01";
const ACTIVE = {
  id: PackIdSchema.parse("door"),
  sha256: "a".repeat(64),
  releaseCounter: 1,
  spaceId: SpaceIdSchema.parse("door.1"),
};
const PACK = { id: ACTIVE.id, sha256: "c".repeat(64), releaseCounter: 2 };
const ROLLOUT = { jobId: JOB, pack: PACK };
const CANDIDATE = { ...PACK, spaceId: ACTIVE.spaceId };
const RING: Ring = {
  name: "canary",
  committedMin: 1,
  soakHours: 24,
  failedMax: 0,
  shadowAgreementMin: 0.95,
};

const ago = (hours: number): string => new Date(NOW - hours * HOUR_MS).toISOString();

function heard(state: Heard["state"], more: Partial<Heard> = {}): Heard {
  const candidate = PACK.sha256;
  return { seq: 1, at: ago(0), state, jobId: JOB, active: ACTIVE, candidate, ...more };
}

const committed = (hours: number): Heard =>
  heard("committed", { active: CANDIDATE, committedAt: ago(hours) });

function shadow(agreement: number): NonNullable<Heard["shadow"]> {
  return {
    frames: 100,
    faceAgreement: 1,
    compared: 50,
    identityAgreement: agreement,
    scoreShift: 0,
    activeP95Ms: 30,
    candidateP95Ms: 30,
    shed: 0,
  };
}

describe("a ring", () => {
  const kindOf = (devices: readonly (Heard | undefined)[], ring: Partial<Ring> = {}): string =>
    judgeRing({ ...RING, ...ring }, ROLLOUT, devices, NOW).kind;

  test("is good when enough have committed long enough ago", () => {
    assert.equal(kindOf([committed(25), committed(30)]), "good");
    assert.equal(kindOf([committed(25), committed(23)]), "wait");
    assert.equal(kindOf([committed(25), undefined]), "wait");
    assert.equal(kindOf([committed(25), undefined], { committedMin: 0.5 }), "good");
    assert.equal(kindOf([committed(0)], { soakHours: 0 }), "good");
    assert.equal(kindOf([]), "good", "an empty one stands in nobody's way");
  });

  test("waits for devices that are under way, silent, or speak of another rollout", () => {
    const other = heard("committed", { jobId: "2026-01-01-00000000", committedAt: ago(99) });
    for (const device of [undefined, heard("shadow"), heard("probation"), other])
      assert.equal(kindOf([device]), "wait");
  });

  test("stops the rollout when too many failed, and says with which code", () => {
    const failed = heard("rolled-back", { error: "shadow_disagrees" });
    const verdict = judgeRing(RING, ROLLOUT, [committed(30), failed], NOW);
    assert.ok(verdict.kind === "abort");
    assert.match(verdict.why, /1 of 2 devices of ring canary failed \(shadow_disagrees\)/);
    assert.equal(
      kindOf([committed(30), heard("failed")], { failedMax: 0.5, committedMin: 0.5 }),
      "good",
    );
  });

  test("stops the rollout when the shadow runs disagree", () => {
    assert.equal(kindOf([heard("shadow", { shadow: shadow(0.9) })]), "abort");
    assert.equal(kindOf([heard("shadow", { shadow: shadow(0.96) })]), "wait");
    const none = { ...shadow(0), compared: 0 };
    assert.equal(kindOf([heard("shadow", { shadow: none })]), "wait", "nothing was compared");
  });

  test("a device at rest that refuses this pack speaks of the update before", () => {
    const before = { candidate: ACTIVE.sha256, error: "wrong_hardware" };
    assert.equal(stageOf(ROLLOUT, heard("committed", before)), "waiting");
    assert.equal(stageOf(ROLLOUT, heard("rolled-back", before)), "waiting");
    assert.equal(stageOf(ROLLOUT, heard("rolled-back")), "failed");
  });

  test("counts every device once", () => {
    const devices = [committed(1), heard("failed"), heard("shadow"), heard("checked"), undefined];
    assert.deepEqual(countRing("canary", ROLLOUT, devices), {
      ring: "canary",
      devices: 5,
      committed: 1,
      failed: 1,
      begun: 1,
      waiting: 2,
    });
  });
});

describe("a report", () => {
  const signer = newSigner();
  const device = { address: "lab/one", publicKey: signer.publicKey, ring: "canary" };
  const report: UpdateReport = {
    schema: 1,
    kind: "update",
    device: "lab/one",
    seq: 7,
    at: ago(1),
    state: "committed",
    active: ACTIVE,
    jobId: JOB,
  };
  const sealed = (more: object = {}, by: Signer = signer): string =>
    JSON.stringify(seal(JSON.stringify({ ...report, ...more }), by));
  const codeOf = (text: string, before?: Heard): string => {
    const verdict = judgeReport(text, device, before);
    return verdict.kind === "heard" ? "heard" : verdict.code;
  };

  test("counts when the device's own key has signed it", () => {
    const verdict = judgeReport(sealed(), device, undefined);
    assert.ok(verdict.kind === "heard");
    assert.equal(verdict.heard.committedAt, ago(1));
  });

  test("of a stranger, of another device, changed, or garbled does not count", () => {
    assert.equal(codeOf(sealed({}, newSigner())), "bad_signature");
    assert.equal(codeOf(sealed({ device: "lab/two" })), "misaddressed");
    const changed = JSON.parse(sealed());
    changed.payload = changed.payload.replace("committed", "rolled-back");
    assert.equal(codeOf(JSON.stringify(changed)), "bad_signature");
    for (const text of ["", "{", "{}", sealed({ state: "marvellous" }), sealed({ seq: -1 })])
      assert.equal(codeOf(text), "malformed");
  });

  test("that was said before a newer one does not count again", () => {
    const newer = heard("rolled-back", { seq: 8 });
    const anew = sealed({ seq: 1, at: ago(-1) });
    assert.equal(codeOf(anew, newer), "heard", "a device that was set up anew");
    assert.equal(codeOf(sealed(), newer), "replayed");
    assert.equal(codeOf(sealed({ seq: 8 }), newer), "heard");
  });

  test("keeps when the device committed first, for that rollout", () => {
    const before = heard("committed", { seq: 6, committedAt: ago(30) });
    const again = judgeReport(sealed(), device, before);
    assert.equal(again.kind === "heard" && again.heard.committedAt, ago(30));
    const now = judgeReport(sealed({ active: CANDIDATE }), device, before);
    assert.equal(now.kind === "heard" && now.heard.committedAt, ago(1), "with another pack");
    const other = judgeReport(sealed(), device, { ...before, jobId: "2026-01-01-00000000" });
    assert.equal(other.kind === "heard" && other.heard.committedAt, ago(1));
  });
});

describe("fleet.yaml", () => {
  async function fleetOf(text: string): ReturnType<typeof readFleet> {
    const directory = await mkdtemp(join(tmpdir(), "ostiary-fleet-"));
    try {
      await writeFile(join(directory, "fleet.yaml"), text);
      return await readFleet(join(directory, "fleet.yaml"));
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
  const { publicKey } = newSigner();
  const devices = (count: number, more = ""): string =>
    Array.from(
      { length: count },
      (_, i) => `  - { id: d${i}, publicKey: "${publicKey}"${more} }`,
    ).join("\n");
  const head = "schema: 1\nsite: lab\n";

  test("named rings and shares of the rest; a share stays with its devices when others come", async () => {
    const rings =
      "rings:\n  - { name: canary }\n  - { name: some, percent: 5 }\n  - { name: more, percent: 25 }\n  - { name: all, percent: 100 }\n";
    const canary = `  - { id: first, publicKey: "${publicKey}", ring: canary }`;
    const fleet = await fleetOf(`${head}devices:\n${canary}\n${devices(40)}\n${rings}`);
    const count = (ring: string): number =>
      fleet.devices.filter((device) => device.ring === ring).length;
    assert.deepEqual(["canary", "some", "more", "all"].map(count), [1, 2, 8, 30]);
    assert.equal(fleet.devices[0]?.address, "lab/first");
    const ringsOf = (plan: typeof fleet) =>
      new Map(plan.devices.map(({ address, ring }) => [address, ring]));
    const again = ringsOf(await fleetOf(`${head}devices:\n${canary}\n${devices(44)}\n${rings}`));
    const order = ["canary", "some", "more", "all"];
    const moved = [...ringsOf(fleet)].filter(([address, ring]) => again.get(address) !== ring);
    assert.ok(moved.length <= 4, `${moved.length} of 41 moved`);
    assert.ok(order.includes(again.get("lab/d43") ?? ""));
  });

  test("the first share has a device, however small", async () => {
    const rings = "rings:\n  - { name: some, percent: 5 }\n  - { name: all, percent: 100 }\n";
    const fleet = await fleetOf(`${head}devices:\n${devices(3)}\n${rings}`);
    assert.equal(fleet.devices.filter(({ ring }) => ring === "some").length, 1);
  });

  test("what is wrong is named", async () => {
    const rings = "rings:\n  - { name: canary }\n";
    const refused = (text: string, message: RegExp): Promise<void> =>
      assert.rejects(fleetOf(text), { code: "config_invalid", message });
    await refused(`${head}devices:\n${devices(1)}\n${rings}`, /lab\/d0 has no ring/);
    await refused(`${head}devices:\n${devices(1, ", ring: other")}\n${rings}`, /ring other/);
    const twice = `${devices(1, ", ring: canary")}\n${devices(1, ", ring: canary")}`;
    await refused(`${head}devices:\n${twice}\n${rings}`, /listed twice/);
    await refused(`${head}devices:\n${devices(1, ", rnig: canary")}\n${rings}`, /devices\.0/);
    const abroad = "broker: { url: 'mqtt://broker.example' }\n";
    await refused(
      `${head}${abroad}devices:\n${devices(1, ", ring: canary")}\n${rings}`,
      /broker\.url.*mqtts/,
    );
    await refused("schema: 1\n  site: [", /fleet\.yaml/);
  });
});
