/** The switch step by step: a real store and real galleries, a vision that does as it is told. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ProbationWatch } from "../../src/control/probation.ts";
import { ApplianceRuntime } from "../../src/control/runtime.ts";
import { openGallery, Serving } from "../../src/control/serving.ts";
import type { SpaceId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { MatchOptions } from "../../src/match/options.ts";
import { type SourceCrop, VisionOptions } from "../../src/observation/messages.ts";
import type { PackOnDisk } from "../../src/release/ports.ts";
import { SelfTestOptions } from "../../src/release/self-test.ts";
import { ShadowOptions } from "../../src/release/shadow.ts";
import type { Store } from "../../src/store/store.ts";
import type { Successor, VisionProcess } from "../../src/vision/process.ts";
import { idOf, now, person, StoreDirectory, seeded, unitVector } from "../store/support.ts";
import { SimulatedClock } from "../support/clock.ts";
import { RecordingLog } from "../support/log.ts";
import { until } from "../support/tap.ts";

const [OLD, NEW] = ["old.1" as SpaceId, "new.1" as SpaceId];
const DIMENSION = 16;
const NEVER = new AbortController().signal;
const random = seeded(3);
const point = { x: 1, y: 2 };

const packIn = (spaceId: SpaceId): PackOnDisk =>
  ({
    directory: `/packs/${spaceId}`,
    sha256: spaceId,
    pack: { id: spaceId, embedder: { spaceId, dimension: DIMENSION } },
  }) as unknown as PackOnDisk;

function enrol(store: Store, id: string, spaceId: SpaceId): void {
  store.transact((tx) => {
    tx.putIdentity(person(id), now);
    const sourceCrop = { png: Uint8Array.of(1), landmarks: [point, point, point, point, point] };
    tx.addTemplates(idOf(id), [{ spaceId, vector: unitVector(random), sourceCrop }], now);
  });
}

const idsIn = (store: Store, spaceId: SpaceId): readonly string[] =>
  [...store.record.templates(spaceId)].map(({ identityId }) => identityId);

/** What the fake vision does at each step may be replaced. */
async function rig() {
  const steps: string[] = [];
  const stack = new AsyncDisposableStack();
  const directory = stack.use(new StoreDirectory());
  const store = stack.use(directory.open());
  enrol(store, "ann", OLD);
  const clock = new SimulatedClock();
  const log = new RecordingLog();
  const pack = packIn(OLD);
  const gallery = await openGallery(pack, { store, clock, log }, NEVER);
  const serving = stack.use(new Serving({ pack, gallery }, () => MatchOptions.parse({})));
  const embedded = (spaceId: SpaceId) => async (crops: readonly SourceCrop[]) => ({
    spaceId,
    embeddings: crops.map(() => unitVector(random)),
  });
  const act = {
    onPrepare: async (): Promise<void> => undefined,
    onAdopt: async (): Promise<void> => undefined,
    onEmbed: (): void => undefined,
  };
  const vision = {
    status: () => ({ restarts: 0 }),
    embedCrops: (crops: readonly SourceCrop[]) => {
      act.onEmbed();
      return embedded(serving.gallery.spaceId)(crops);
    },
    prepare: async (path: string): Promise<Successor> => {
      const spaceId = path.split("/").at(-1) as SpaceId;
      steps.push(`load ${spaceId}`);
      await act.onPrepare();
      return {
        loaded: {} as Successor["loaded"],
        pid: 1,
        embedCrops: (crops) => {
          steps.push("embed");
          act.onEmbed();
          return embedded(spaceId)(crops) as ReturnType<Successor["embedCrops"]>;
        },
        adopt: async () => {
          steps.push(`adopt while ${serving.gallery.spaceId} serves`);
          await act.onAdopt();
        },
        [Symbol.asyncDispose]: async () => void steps.push("dispose"),
      };
    },
  } as unknown as VisionProcess;
  const runtime = stack.use(
    new ApplianceRuntime(
      {
        vision: VisionOptions.parse({}),
        selfTest: SelfTestOptions.parse({}),
        shadow: ShadowOptions.parse({}),
      },
      {
        clock,
        log,
        store,
        serving,
        vision,
        probation: new ProbationWatch({ clock, log, vision, serving }),
        match: () => MatchOptions.parse({}),
        isEnrolling: () => false,
        onLeaving: () => void steps.push("leaving"),
        onServing: () => void steps.push("serving"),
      },
    ),
  );
  return {
    ...{ runtime, store, serving, steps, act, clock, gallery },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe("the switch", () => {
  test("whoever is missing first, then gallery and process in one step, then the old ones go", async () => {
    await using site = await rig();
    const { runtime, store, serving, steps } = site;
    await runtime.switchTo(packIn(NEW), NEVER);
    const adopt = `adopt while ${NEW} serves`;
    assert.deepEqual(steps, [`load ${NEW}`, "embed", adopt, "leaving", "serving"]);
    assert.deepEqual([runtime.active().sha256, serving.gallery.spaceId], [NEW, NEW]);
    assert.deepEqual(idsIn(store, NEW), ["ann"]);
    assert.equal(serving.gallery.templateCount, 1);
    // The way back embeds nobody: everything is still there.
    steps.length = 0;
    await runtime.switchTo(packIn(OLD), NEVER);
    assert.ok(!steps.includes("embed"));
    assert.equal(serving.gallery.spaceId, OLD);
    // What changes from now on reaches the gallery that serves.
    enrol(store, "ben", OLD);
    assert.equal(serving.gallery.templateCount, 2);
  });

  test("a pack of the same space keeps its gallery", async () => {
    await using site = await rig();
    const { runtime, serving, gallery } = site;
    await runtime.switchTo({ ...packIn(OLD), sha256: "other" }, NEVER);
    assert.deepEqual([runtime.active().sha256, serving.gallery === gallery], ["other", true]);
    const [best] = await serving.gallery.search(unitVector(random), 1);
    assert.equal(best?.identityId, "ann");
  });

  test("who is enrolled while it loads, and who is erased, is so in the new space too", async () => {
    await using site = await rig();
    const { runtime, store, act } = site;
    enrol(store, "cat", OLD);
    act.onPrepare = async () => enrol(store, "ben", OLD);
    let isErased = false;
    act.onEmbed = () => {
      if (!isErased) store.transact((tx) => tx.eraseIdentity(idOf("cat"), now));
      isErased = true;
    };
    await runtime.switchTo(packIn(NEW), NEVER);
    assert.deepEqual(idsIn(store, NEW).toSorted(), ["ann", "ben"]);
    assert.equal(site.serving.gallery.templateCount, 2);
  });

  test("whatever fails before the step leaves all as it was", async () => {
    const failures: readonly ((site: Awaited<ReturnType<typeof rig>>) => void)[] = [
      ({ act }) => {
        act.onPrepare = () => Promise.reject(new Fault("x", "no pack"));
      },
      ({ act }) => {
        act.onEmbed = () => {
          throw new Fault("x", "no embedder");
        };
      },
      ({ act }) => {
        act.onAdopt = () => Promise.reject(new Fault("x", "it has ended"));
      },
    ];
    for (const fail of failures) {
      await using site = await rig();
      fail(site);
      await assert.rejects(site.runtime.switchTo(packIn(NEW), NEVER), { code: "x" });
      assert.deepEqual([site.runtime.active().sha256, site.serving.gallery], [OLD, site.gallery]);
      assert.equal(site.gallery.templateCount, 1);
      enrol(site.store, "ben", OLD);
      assert.equal(site.gallery.templateCount, 2, "it still hears of changes");
      if (site.steps.includes("embed"))
        assert.ok(site.steps.includes("dispose"), "no process stays");
    }
  });

  test("one at a time, and an abort before the step ends it", async () => {
    await using site = await rig();
    const { runtime, act, serving, steps } = site;
    const stop = new AbortController();
    const loaded = Promise.withResolvers<void>();
    act.onPrepare = () => loaded.promise;
    const first = runtime.switchTo(packIn(NEW), stop.signal);
    await assert.rejects(runtime.switchTo(packIn(NEW), NEVER), { code: "switch_busy" });
    stop.abort();
    loaded.resolve();
    await assert.rejects(first);
    assert.deepEqual([serving.gallery.spaceId, steps.at(-1)], [OLD, "dispose"]);
  });
});

test("who is missing in the serving space follows, after a start and after a late enrolment", async () => {
  await using site = await rig();
  const { runtime, store } = site;
  enrol(store, "ben", NEW);
  const stop = new AbortController();
  const running = runtime.run(stop.signal);
  await until(() => idsIn(store, OLD).includes("ben"), "ben follows", 5000);
  // Judged before a switch and stored after it.
  enrol(store, "cat", NEW);
  await until(() => idsIn(store, OLD).includes("cat"), "cat follows", 5000);
  stop.abort();
  await running;
  assert.deepEqual(idsIn(store, OLD), ["ann", "ben", "cat"]);
});

test("spaces that nobody needs go; the one that serves stays", async () => {
  await using site = await rig();
  const { runtime, store } = site;
  enrol(store, "ben", NEW);
  runtime.retainSpaces([]);
  assert.deepEqual([idsIn(store, OLD), idsIn(store, NEW)], [["ann"], []]);
  assert.deepEqual(runtime.coverage(NEW).missing, ["ann"]);
});
