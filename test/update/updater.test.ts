import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { describe, test } from "node:test";
import { Fault } from "../../src/lib/fault.ts";
import { UpdateReport } from "../../src/release/report.ts";
import type { UpdateStateName } from "../../src/release/state.ts";
import { FACTORY, STATS, UpdateRig, WELL } from "./rig.ts";
import { tinyPack } from "./support.ts";

const NEW = tinyPack({ counter: 2, spaceId: "space-2" });
const NEWER = tinyPack({ counter: 3, spaceId: "space-3" });
/** The same embedder: nobody has to be embedded again. */
const DETECTOR = tinyPack({ counter: 4, detector: "detector-2" });
const never = new AbortController().signal;

/** Serves `NEW`, committed. */
async function updated(rig: UpdateRig): Promise<void> {
  rig.source.add(NEW);
  rig.updater.hear(rig.director.wants(NEW));
  await rig.reach("probation");
  rig.runtime.sample = { ...WELL, elapsedMs: 60_000 };
  await rig.reach("committed");
  rig.runtime.sample = WELL;
}

describe("an update", () => {
  test("goes from a wish to a pack that is kept, and says so on the way", async () => {
    await using rig = await UpdateRig.open();
    await updated(rig);
    assert.deepEqual(rig.runtime.active().sha256, NEW.name.sha256);
    assert.deepEqual(rig.runtime.calls, [
      "openCandidate pack-2",
      "selfTest",
      "reembed",
      "shadow",
      "switchTo pack-2",
    ]);
    const entry = rig.journal.entry();
    assert.deepEqual([entry.active, entry.previous], [NEW.name, undefined]);
    assert.equal(rig.journal.floors().release, 2);
    assert.equal(rig.runtime.leaks, 0);
    const states = rig.reports.map(({ state }) => state);
    assert.deepEqual([...new Set(states)], [
      "idle",
      "checked",
      "downloading",
      "verified",
      "staged",
      "self-tested",
      "re-embedding",
      "shadow",
      "activating",
      "probation",
      "committed",
    ] satisfies UpdateStateName[]);
    for (const report of rig.reports) UpdateReport.parse(report);
    const numbers = rig.reports.map(({ seq }) => seq);
    assert.deepEqual(
      numbers,
      [...new Set(numbers)].sort((a, b) => a - b),
    );
    const last = rig.reports.at(-1);
    assert.deepEqual([last?.jobId, last?.active, last?.ring], ["job-00001", NEW.name, "canary"]);
    assert.deepEqual(last?.shadow, STATS);
  });

  test("fetches only what no pack here has", async () => {
    await using rig = await UpdateRig.open();
    await updated(rig);
    const embedder = NEW.pack.files.find(({ name }) => name === "embedder.onnx");
    assert.deepEqual(rig.source.fetched, [embedder?.sha256]);
  });

  test("with the same space embeds nobody again", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(DETECTOR);
    rig.updater.hear(rig.director.wants(DETECTOR));
    await rig.reach("probation");
    assert.ok(!rig.runtime.calls.some((call) => call.startsWith("reembed")));
  });

  test("keeps the pack before it and the factory pack, and nothing else", async () => {
    await using rig = await UpdateRig.open();
    await updated(rig);
    rig.source.add(NEWER);
    rig.updater.hear(rig.director.wants(NEWER));
    await rig.reach("probation");
    rig.runtime.sample = { ...WELL, elapsedMs: 60_000 };
    await rig.reach("committed");
    await rig.until(() => rig.runtime.retained.length === 3, "spaces are kept by pack");
    const names = [NEW.name.sha256, NEWER.name.sha256, "active", "previous"];
    assert.deepEqual(readdirSync(rig.scratch.at("packs")).sort(), names.sort());
    assert.equal(readlinkSync(rig.scratch.at("packs", "active")), NEWER.name.sha256);
    assert.equal(readlinkSync(rig.scratch.at("packs", "previous")), NEW.name.sha256);
    assert.deepEqual([...rig.runtime.retained].sort(), ["space-1", "space-2", "space-3"]);
  });

  test("follows a desired state that lies in the repository", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.source.desired = rig.director.wants(NEW);
    const status = await rig.updater.check(never);
    assert.notEqual(status.lastCheckAt, null);
    await rig.reach("probation");
  });

  test("that is wanted and serves already is done", async () => {
    await using rig = await UpdateRig.open();
    rig.updater.hear(rig.director.wants(FACTORY));
    await rig.reach("committed");
    assert.equal(rig.journal.entry().job?.jobId, "job-00001");
    assert.equal(rig.source.checks, 0);
  });
});

describe("a pack that fails", () => {
  const failures: readonly {
    readonly where: UpdateStateName;
    readonly code: string;
    readonly how: (rig: UpdateRig) => void;
  }[] = [
    {
      where: "self-tested",
      code: "self_test_golden",
      how: ({ runtime }) => runtime.fail("selfTest", "self_test_golden"),
    },
    {
      where: "self-tested",
      code: "pack_corrupt",
      how: ({ runtime }) => runtime.fail("openCandidate", "pack_corrupt"),
    },
    {
      where: "shadow",
      code: "shadow_identities",
      how: ({ runtime }) => runtime.fail("shadow", "shadow_identities"),
    },
    {
      where: "activating",
      code: "vision_timeout",
      how: ({ runtime }) => runtime.fail("switchTo", "vision_timeout", "later"),
    },
    {
      where: "probation",
      code: "probation_slow",
      how: (rig) => {
        rig.runtime.sample = { ...WELL, p95Ms: 5000 };
      },
    },
    {
      where: "probation",
      code: "probation_crashed",
      how: (rig) => {
        rig.runtime.sample = { ...WELL, visionExits: 2 };
      },
    },
  ];
  for (const { where, code, how } of failures) {
    test(`in or before ${where} (${code}) leaves the old one serving and is not tried again`, async () => {
      await using rig = await UpdateRig.open();
      rig.source.add(NEW);
      how(rig);
      const document = rig.director.wants(NEW);
      rig.updater.hear(document);
      await rig.reach("rolled-back");
      assert.equal(rig.runtime.active().sha256, FACTORY.name.sha256);
      assert.equal(rig.journal.entry().error?.code, code);
      assert.equal(rig.journal.denied(NEW.name.sha256)?.code, code);
      const states = rig.reports.map(({ state }) => state);
      assert.ok(states.includes("failed") && states.at(-1) === "rolled-back");
      assert.equal(rig.reports.at(-1)?.error?.code, code);
      await rig.until(() => rig.runtime.retained.length > 0, "the candidate's rows go");
      assert.deepEqual(readdirSync(rig.scratch.at("packs")), []);
      assert.equal(rig.runtime.leaks, 0);
      const { checks } = rig.source;
      rig.updater.hear(document);
      await rig.updater.check(never);
      assert.deepEqual([rig.state, rig.source.checks], ["rolled-back", checks]);
    });
  }

  test("to be what serves on probation is not kept by what another pack does", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("probation");
    await rig.runtime.switchTo(rig.packs.factory, never);
    rig.runtime.sample = { ...WELL, elapsedMs: 60_000 };
    await rig.reach("rolled-back");
    assert.equal(rig.journal.entry().error?.code, "not_serving");
  });

  test("is tried again when the director says so with a higher attemptEpoch, and only then", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.runtime.fail("selfTest", "self_test_golden");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("rolled-back");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.updater.apply(never);
    assert.equal(rig.state, "rolled-back");
    rig.updater.hear(rig.director.wants(NEW, { attemptEpoch: 1 }));
    await rig.reach("probation");
  });

  test("in the repository costs the next one nothing", async () => {
    await using rig = await UpdateRig.open();
    for (const pack of [NEW, NEWER]) rig.source.add(pack);
    rig.runtime.fail("shadow", "shadow_faces");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("rolled-back");
    rig.updater.hear(rig.director.wants(NEWER));
    await rig.reach("probation");
    assert.equal(rig.runtime.active().sha256, NEWER.name.sha256);
  });

  test("and an old one that cannot serve either: the factory pack does", async () => {
    await using rig = await UpdateRig.open();
    await updated(rig);
    rig.source.add(NEWER);
    rig.updater.hear(rig.director.wants(NEWER));
    await rig.reach("probation");
    rig.runtime.fail("switchTo", "pack_corrupt");
    rig.runtime.sample = { ...WELL, visionExits: 5 };
    await rig.reach("rolled-back");
    assert.equal(rig.runtime.active().sha256, FACTORY.name.sha256);
  });
});

describe("an update waits", () => {
  test("for a cool machine, a quiet moment, and a window, and an operator may not wait", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.celsius = 95;
    rig.updater.hear(rig.director.wants(NEW, { from: "2026-01-05T09:10:00Z" }));
    await rig.until(() => rig.reports.at(-1)?.deferred === "window", "it waits for its window");
    assert.equal(rig.source.checks, 0);
    await rig.until(() => rig.reports.at(-1)?.deferred === "thermal", "it is too hot", 30_000);
    assert.equal(rig.state, "checked");
    rig.celsius = 40;
    rig.runtime.deferred = "busy";
    await rig.until(() => rig.reports.at(-1)?.deferred === "busy", "the door is busy", 30_000);
    assert.equal(rig.state, "shadow");
    assert.equal(rig.runtime.calls.filter((call) => call === "shadow").length, 1);
    await rig.updater.apply(never);
    await rig.reach("probation");
  });

  test("for people to be enrolled again, or is refused, or goes on, as the site wants", async () => {
    for (const withoutCrops of ["keep-old", "refuse", "re-enrol"]) {
      await using rig = await UpdateRig.open({ options: { withoutCrops } });
      rig.source.add(NEW);
      rig.runtime.withoutCrops = ["eve"];
      rig.updater.hear(rig.director.wants(NEW));
      if (withoutCrops === "refuse") {
        await rig.reach("rolled-back");
        assert.equal(rig.journal.entry().error?.code, "no_crops");
      } else if (withoutCrops === "re-enrol") {
        await rig.reach("probation");
        assert.equal(rig.journal.entry().withoutCrops, 1);
      } else {
        await rig.until(() => rig.reports.at(-1)?.deferred === "no_crops", "it waits for eve");
        assert.deepEqual(rig.updater.status().missing, ["eve"]);
        assert.equal(rig.runtime.leaks, 0, "nobody's memory is held for weeks");
        rig.runtime.withoutCrops = [];
        await rig.until(() => rig.state === "probation", "eve came by", 60_000);
      }
    }
  });

  test("for a repository that is away, and goes on where it was", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.source.transferFaults.push(
      new Fault("fetch_failed", "no route", { retry: "later" }),
      new Fault("fetch_slow", "too slow", { retry: "later" }),
    );
    rig.updater.hear(rig.director.wants(NEW));
    await rig.until(
      () => rig.reports.some(({ error }) => error?.code === "fetch_failed"),
      "it says what is wrong",
    );
    assert.equal(rig.state, "downloading");
    await rig.reach("probation", 5000);
    assert.equal(rig.reports.at(-1)?.error, undefined);
    assert.equal(rig.source.checks, 1);
  });

  test("for a candidate that is lost now and then, but not for ever", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    for (let time = 0; time < 2; time += 1) rig.runtime.fail("shadow", "candidate_lost", "later");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("probation", 5000);
    const opened = rig.runtime.calls.filter((call) => call.startsWith("openCandidate"));
    assert.equal(opened.length, 3, "each try has a process of its own");
    rig.runtime.sample = { ...WELL, elapsedMs: 60_000 };
    await rig.reach("committed");
    rig.source.add(NEWER);
    for (let time = 0; time < 9; time += 1) rig.runtime.fail("shadow", "candidate_lost", "later");
    rig.updater.hear(rig.director.wants(NEWER));
    await rig.reach("rolled-back", 5000);
    assert.equal(rig.journal.entry().error?.code, "candidate_lost");
  });
});

describe("what the authorities say", () => {
  test("expired metadata is an alarm and no update, and what serves is not touched", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    const fault = new Fault("tuf_expired", "past its date", { retry: "later" });
    rig.source.refusal = { fault, isExpired: true };
    rig.updater.hear(rig.director.wants(NEW));
    await rig.until(() => rig.reports.at(-1)?.metadataExpired === true, "it raises the alarm");
    assert.deepEqual([rig.state, rig.reports.at(-1)?.error?.code], ["idle", "tuf_expired"]);
    rig.source.refusal = undefined;
    await rig.reach("probation", 60_000);
    assert.equal(rig.reports.at(-1)?.metadataExpired, undefined);
  });

  test("a pack below the release floor needs the director's word, and then is the floor", async () => {
    await using rig = await UpdateRig.open();
    const older = tinyPack({ counter: 5, spaceId: "space-5" });
    const newer = tinyPack({ counter: 9, spaceId: "space-9" });
    for (const pack of [older, newer]) rig.source.add(pack);
    rig.journal.change({ release: { counter: 9 } }, rig.clock.epochMs());
    rig.updater.hear(rig.director.wants(older));
    await rig.until(() => rig.reports.at(-1)?.error?.code === "below_floor", "it is refused");
    rig.updater.hear(rig.director.wants(older, { allowRollbackTo: 6 }));
    await rig.updater.check(never);
    assert.equal(rig.state, "idle");
    rig.updater.hear(rig.director.wants(older, { allowRollbackTo: 5 }));
    await rig.reach("probation");
    rig.runtime.sample = { ...WELL, elapsedMs: 60_000 };
    await rig.reach("committed");
    assert.equal(rig.journal.floors().release, 5);
  });

  test("a document that is forged, old or for somebody else moves nothing", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    const first = rig.director.wants(NEW);
    rig.updater.hear(rig.director.wants(FACTORY));
    await rig.reach("committed");
    const forged = JSON.parse(rig.director.wants(NEW)) as { payload: string };
    forged.payload = forged.payload.replace("canary", "stable");
    const others = rig.director.wants(NEW, { aud: "hq/south-door" });
    for (const [text, code] of [
      [first, "desired_replayed"],
      [JSON.stringify(forged), "desired_signature"],
      [others, "desired_misaddressed"],
      ["{}", "desired_malformed"],
      ["x".repeat(70_000), "desired_too_large"],
    ] as const) {
      rig.updater.hear(text);
      await rig.until(() => rig.reports.at(-1)?.error?.code === code, code);
      assert.equal(rig.state, "committed", code);
    }
    assert.equal(rig.source.checks, 0);
  });

  test("a clock that was set back revives no document", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    const seen = Date.parse("2026-03-01T00:00:00Z");
    rig.journal.change({ timeMs: seen as never }, rig.clock.epochMs());
    rig.updater.hear(rig.director.wants(NEW));
    await rig.until(() => rig.reports.at(-1)?.error?.code === "desired_expired", "it has expired");
    assert.equal(rig.source.checks, 0);
  });

  test("what was verified raises the floors, also when it ends in a refusal", async () => {
    await using rig = await UpdateRig.open();
    rig.source.issuedAt = Date.parse("2026-01-05T20:00:00Z") as never;
    rig.updater.hear(rig.director.wants(NEW));
    await rig.until(() => rig.reports.at(-1)?.error?.code === "target_missing", "it is not listed");
    const { timeMs, metadata } = rig.journal.floors();
    assert.deepEqual([timeMs, metadata?.["timestamp"]], [rig.source.issuedAt, rig.source.checks]);
  });

  test("a signed time far ahead of a trusted clock moves nothing", async () => {
    await using rig = await UpdateRig.open();
    rig.source.issuedAt = Date.parse("2099-01-01T00:00:00Z") as never;
    rig.updater.hear(rig.director.wants(NEW));
    await rig.until(() => rig.reports.at(-1)?.error?.code === "target_missing", "it is not listed");
    assert.ok(rig.journal.floors().timeMs <= rig.clock.epochMs());
  });

  test("a repository and a director that mean different packs agree on nothing", async () => {
    await using rig = await UpdateRig.open();
    const wanted = tinyPack({ counter: 2, spaceId: "space-2", embedder: "another" });
    rig.source.packs.set(wanted.name.sha256, NEW);
    rig.updater.hear(rig.director.wants(wanted));
    await rig.until(() => rig.reports.at(-1)?.error?.code === "target_disagrees", "they disagree");
    assert.equal(rig.state, "idle");
  });

  test("another wish ends an update that is under way, but not one that serves already", async () => {
    await using rig = await UpdateRig.open();
    for (const pack of [NEW, NEWER]) rig.source.add(pack);
    rig.runtime.holds.add("selfTest");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("staged");
    rig.updater.hear(rig.director.wants(NEWER));
    rig.runtime.holds.clear();
    await rig.reach("probation");
    assert.equal(rig.runtime.active().sha256, NEWER.name.sha256);
    assert.equal(rig.journal.denied(NEW.name.sha256), undefined);
    rig.updater.hear(rig.director.wants(FACTORY, { allowRollbackTo: 1 }));
    await rig.clock.advance(5000);
    assert.equal(rig.state, "probation");
  });
});

describe("an operator", () => {
  test("ends an update, and starts it again", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.runtime.holds.add("selfTest");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("staged");
    const ended = await rig.updater.abort(never);
    assert.deepEqual([ended?.state, ended?.error?.code], ["rolled-back", "aborted"]);
    rig.runtime.holds.clear();
    await rig.updater.check(never);
    assert.equal(rig.state, "rolled-back", "a check alone does not start it again");
    await rig.updater.apply(never);
    await rig.reach("probation");
    assert.equal(await rig.updater.abort(never).then((status) => status?.active.id), "pack-1");
    assert.equal(await rig.updater.abort(never), undefined);
  });

  test("has the pack before it back, offline, and it stays away", async () => {
    await using rig = await UpdateRig.open();
    assert.equal(await rig.updater.rollBack(never), undefined, "nothing came before the factory's");
    await updated(rig);
    rig.source.refusal = { fault: new Fault("fetch_failed", "offline"), isExpired: false };
    const back = await rig.updater.rollBack(never);
    assert.deepEqual([back?.state, back?.active.id], ["rolled-back", "pack-1"]);
    assert.equal(rig.runtime.active().sha256, FACTORY.name.sha256);
    await rig.updater.check(never);
    assert.equal(rig.state, "rolled-back");
    assert.equal(rig.journal.denied(NEW.name.sha256)?.code, "requested");
  });

  test("who asks for the pack before it while a check runs gets it", async () => {
    await using rig = await UpdateRig.open();
    await updated(rig);
    rig.source.add(NEWER);
    rig.updater.hear(rig.director.wants(NEWER));
    await rig.updater.rollBack(never);
    await rig.until(() => rig.runtime.active().sha256 !== NEW.name.sha256, "it is gone", 5000);
  });
});

describe("a boot", () => {
  const stops: Readonly<Partial<Record<UpdateStateName, (rig: UpdateRig) => void>>> = {
    checked: (rig) => {
      rig.celsius = 95;
    },
    downloading: ({ source }) =>
      source.transferFaults.push(new Fault("fetch_failed", "no route", { retry: "later" })),
    staged: ({ runtime }) => runtime.holds.add("selfTest"),
    "re-embedding": ({ runtime }) => runtime.holds.add("reembed"),
    shadow: ({ runtime }) => runtime.holds.add("shadow"),
  };
  for (const [state, stop] of Object.entries(stops))
    test(`in ${state} goes on with the old pack serving, and the update still ends`, async () => {
      await using rig = await UpdateRig.open();
      rig.source.add(NEW);
      stop(rig);
      rig.updater.hear(rig.director.wants(NEW));
      await rig.reach(state as UpdateStateName, 0);
      await rig.restart();
      rig.celsius = undefined;
      assert.equal(rig.runtime.active().sha256, FACTORY.name.sha256);
      await rig.reach("probation");
      assert.equal(rig.runtime.active().sha256, NEW.name.sha256);
    });

  test("on probation serves the candidate once more, then the pack before it", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("probation");
    await rig.restart();
    assert.equal(rig.runtime.active().sha256, NEW.name.sha256);
    await rig.restart();
    assert.equal(rig.runtime.active().sha256, FACTORY.name.sha256);
    await rig.reach("rolled-back");
    assert.equal(rig.journal.denied(NEW.name.sha256)?.code, "crashed");
  });

  test("after a stop in good order is held against nobody", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("probation");
    for (let boot = 0; boot < 4; boot += 1) await rig.reboot();
    assert.deepEqual([rig.state, rig.runtime.active().sha256], ["probation", NEW.name.sha256]);
  });

  test("many hours apart are not the candidate's fault", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.runtime.holds.add("shadow");
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("shadow");
    for (let boot = 0; boot < 8; boot += 1) {
      await rig.restart();
      rig.runtime.holds.add("shadow");
      await rig.clock.advance(3_600_000);
    }
    assert.equal(rig.state, "shadow");
  });

  test("numbers its reports above every one before", async () => {
    await using rig = await UpdateRig.open();
    rig.source.add(NEW);
    rig.updater.hear(rig.director.wants(NEW));
    await rig.reach("probation");
    const before = rig.reports.at(-1)?.seq ?? 0;
    await rig.restart();
    await rig.until(() => (rig.reports.at(-1)?.seq ?? 0) > before, "it reports again");
  });
});
