import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Doorkeeper, type DoorkeeperDeps, type TrackView } from "../src/decide.ts";
import type { Decision } from "../src/decision/decision.ts";
import { DecisionOptions } from "../src/decision/options.ts";
import { AccessRules } from "../src/decision/rules.ts";
import type { CameraId, Cosine, SpaceId, TrackId } from "../src/lib/brand.ts";
import { SimulatedClock } from "./support/clock.ts";
import {
  ANNA,
  BEN,
  CAMERA,
  looked,
  MemoryGallery,
  MemoryLedger,
  openRules,
  person,
  unit,
} from "./support/decision.ts";

const STRANGER = unit(5);

/** Anna looks like axis 1, Ben like axis 2. */
function house(deps: Partial<DoorkeeperDeps> = {}, options: Partial<DecisionOptions> = {}) {
  const clock = new SimulatedClock();
  const gallery = new MemoryGallery();
  const ledger = new MemoryLedger();
  for (const [id, axis] of [
    [ANNA, 1],
    [BEN, 2],
  ] as const) {
    gallery.templates.push({ identityId: id, vector: unit(axis) });
    ledger.identities.set(id, person(id));
  }
  const published: Decision[] = [];
  const seen: TrackView[] = [];
  const faults: unknown[] = [];
  let ids = 0;
  const doorkeeper = new Doorkeeper(
    { decision: DecisionOptions.parse(options), match: { marginMin: 0.05, candidates: 16 } },
    {
      gallery,
      threshold: () => ({ kind: "threshold", cosine: 0.5 as Cosine, source: "table" }),
      ledger,
      rules: openRules,
      doorMode: () => "normal",
      clockTrusted: () => true,
      demoOnly: false,
      degraded: () => false,
      clock,
      newId: () => `d${++ids}`,
      publish: (decision) => void published.push(decision),
      onSeen: (view) => void seen.push(view),
      onFault: (fault) => void faults.push(fault),
      ...deps,
    },
  );
  /** One frame now with this face in view. */
  const look = async (embedding: Float32Array<ArrayBuffer>, track = "t1") => {
    await clock.advance(100);
    return doorkeeper.observe(looked(clock.monotonicMs(), [{ track, embedding }]));
  };
  const said = () => published.map(({ outcome, reason }) => `${outcome} ${reason}`);
  return { clock, gallery, ledger, doorkeeper, published, seen, faults, look, said };
}

const times = async (count: number, run: () => Promise<unknown>) => {
  for (let n = 0; n < count; n += 1) await run();
};

test("three frames of an enrolled person: one grant, recorded, then published", async () => {
  const { look, published, ledger, said, seen } = house();
  await times(2, () => look(unit(1)));
  assert.equal(published.length, 0);
  const decisions = await look(unit(1));
  assert.deepEqual(said(), ["grant allowed"]);
  assert.deepEqual(decisions, published);
  assert.deepEqual(ledger.recorded, published);
  const [grant] = published;
  assert.ok(grant !== undefined);
  assert.deepEqual(
    [grant.firstUsableAt, grant.frames, grant.scoreBand, grant.expiresAt - grant.issuedAt],
    [100, 3, "high", 5000],
  );
  await times(20, () => look(unit(1)));
  assert.equal(published.length, 1);
  assert.deepEqual([seen.at(-1)?.status, seen.at(-1)?.identityId], ["identified", ANNA]);
});

test("a stranger is denied as unknown once; the end of the track adds nothing", async () => {
  const { look, said, doorkeeper, published } = house();
  await times(9, () => look(STRANGER));
  await doorkeeper.trackEnded(CAMERA, "t1" as TrackId);
  assert.deepEqual(said(), ["deny unknown"]);
  assert.equal(published[0]?.outcome === "deny" && published[0].identityId, undefined);
});

test("two faces alike: the margin decides that it is nobody", async () => {
  const { look, said } = house();
  const between = new Float32Array(8);
  between[1] = Math.SQRT1_2;
  between[2] = Math.SQRT1_2;
  await times(6, () => look(between));
  assert.deepEqual(said(), ["deny unknown"]);
});

test("the last word has the record: erased or disabled in the very moment means denied", async () => {
  for (const [change, expected] of [
    [(ledger: MemoryLedger) => ledger.identities.delete(ANNA), "deny unknown"],
    [
      (ledger: MemoryLedger) => ledger.identities.set(ANNA, person(ANNA, { enabled: false })),
      "deny identity_disabled",
    ],
  ] as const) {
    const { look, said, ledger } = house();
    await times(2, () => look(unit(1)));
    change(ledger);
    await look(unit(1));
    assert.deepEqual(said(), [expected]);
  }
});

test("conditions of the site deny: degraded, clock, lockdown, no threshold", async () => {
  for (const [deps, expected] of [
    [{ demoOnly: true }, "deny demo_only"],
    [{ degraded: () => true }, "deny degraded"],
    [{ clockTrusted: () => false }, "deny clock_not_trusted"],
    [{ doorMode: () => "lockdown" as const }, "deny lockdown"],
    [
      { rules: () => AccessRules.parse({ doors: [{ id: "front", cameras: ["cam-1"] }] }) },
      "deny no_rule",
    ],
    [
      { threshold: () => ({ kind: "none", reason: "not_calibrated" }) as const },
      "deny not_calibrated",
    ],
  ] as const) {
    const { look, said } = house(deps);
    await times(6, () => look(unit(1)));
    assert.deepEqual(said(), [expected]);
  }
});

test("an empty gallery knows nobody, also without a threshold", async () => {
  const { look, said, gallery } = house({
    threshold: () => ({ kind: "none", reason: "not_calibrated" }),
  });
  gallery.templates.length = 0;
  await times(5, () => look(STRANGER));
  assert.deepEqual(said(), ["deny unknown"]);
});

test("the cool-down begins with the broker's word; a lost grant is repeated while the person is there", async () => {
  const { look, published, doorkeeper, clock } = house();
  await times(3, () => look(unit(1)));
  await clock.advance(4700);
  await look(unit(1));
  assert.equal(published.length, 1, "not yet expired");
  await clock.advance(200);
  await look(unit(1));
  await times(2, () => look(unit(1)));
  assert.equal(published.length, 2, "repeated after its expiry");
  doorkeeper.acknowledged("d2");
  await times(100, () => look(unit(1)));
  assert.equal(published.length, 2, "one grant per visit");
  await times(3, () => look(unit(1), "t2"));
  assert.equal(published.length, 3, "a new visit after the cool-down");
});

test("a second track within the cool-down is the same visit", async () => {
  const { look, published, doorkeeper, clock } = house();
  await times(3, () => look(unit(1)));
  doorkeeper.acknowledged("d1");
  doorkeeper.acknowledged("unheard-of");
  await times(5, () => look(unit(1), "t2"));
  assert.equal(published.length, 1);
  await clock.advance(10_000);
  await times(3, () => look(unit(1), "t2"));
  assert.equal(published.length, 2);
});

test("a standing denial is repeated only after the cool-down", async () => {
  const { look, said, ledger } = house();
  ledger.identities.set(ANNA, person(ANNA, { enabled: false }));
  await times(50, () => look(unit(1)));
  assert.deepEqual(said(), ["deny identity_disabled"]);
  ledger.identities.set(ANNA, person(ANNA));
  await times(60, () => look(unit(1)));
  assert.deepEqual(said(), ["deny identity_disabled", "grant allowed"]);
});

test("one camera, several doors: each decides by its own rules", async () => {
  const rules = AccessRules.parse({
    groups: ["staff"],
    doors: [
      { id: "front", cameras: ["cam-1"], allow: { staff: ["always"] } },
      { id: "vault", cameras: ["cam-1"] },
      { id: "other", cameras: ["cam-2"], allow: { staff: ["always"] } },
    ],
  });
  const { look, published } = house({ rules: () => rules });
  await times(3, () => look(unit(1)));
  assert.deepEqual(
    published.map(({ doorId, outcome, reason }) => [doorId, outcome, reason]),
    [
      ["front", "grant", "allowed"],
      ["vault", "deny", "no_rule"],
    ],
  );
});

test("two people at once are kept apart", async () => {
  const { clock, doorkeeper, published } = house();
  for (let n = 0; n < 6; n += 1) {
    await clock.advance(100);
    await doorkeeper.observe(
      looked(clock.monotonicMs(), [
        { track: "a", embedding: unit(1) },
        { track: "s", embedding: STRANGER },
        { track: "b", embedding: unit(2) },
      ]),
    );
  }
  assert.deepEqual(
    published.map(({ trackId, reason, outcome }) => [trackId, outcome, reason]),
    [
      ["a", "grant", "allowed"],
      ["b", "grant", "allowed"],
      ["s", "deny", "unknown"],
    ],
  );
});

test("old, repeated, future and foreign frames are no evidence, but their tracks end", async () => {
  const { clock, doorkeeper, published, gallery, look } = house();
  await clock.advance(60_000);
  const now = clock.monotonicMs();
  const faces = [{ embedding: unit(1) }];
  for (const at of [now - 2000, now - 1500, now + 1500])
    await doorkeeper.observe(looked(at, faces));
  await doorkeeper.observe(looked(now, faces));
  await doorkeeper.observe(looked(now, faces));
  await doorkeeper.observe(looked(now - 10, faces));
  await doorkeeper.observe({ ...looked(now + 1, faces), spaceId: "other" as SpaceId });
  assert.equal(gallery.searches, 1);
  const { stale, disordered, otherSpace } = doorkeeper.counts();
  assert.deepEqual({ stale, disordered, otherSpace }, { stale: 3, disordered: 2, otherSpace: 1 });
  assert.equal(published.length, 0);
  await look(unit(1));
  await look(unit(1), "t2");
  await doorkeeper.observe(looked(0, [], ["t1", "t2"]));
  assert.equal(doorkeeper.counts().tracks, 0);
});

test("a frame that became old while the search was slow opens nothing", async () => {
  const { clock, doorkeeper, gallery, look, published } = house();
  await times(2, () => look(unit(1)));
  const gate = Promise.withResolvers<void>();
  gallery.ready = gate.promise;
  await clock.advance(100);
  const pending = doorkeeper.observe(looked(clock.monotonicMs(), [{ embedding: unit(1) }]));
  await clock.advance(3000);
  gate.resolve();
  assert.deepEqual(await pending, []);
  assert.equal(published.length, 0);
});

test("embeddings that are no unit vectors are counted and told, and never match", async () => {
  const { look, published, faults, doorkeeper, gallery } = house();
  const nan = unit(1);
  nan[3] = Number.NaN;
  for (const broken of [
    nan,
    new Float32Array(8),
    new Float32Array(7).fill(0.378),
    unit(1).map((value) => value * 2),
  ])
    await times(3, () => look(broken));
  assert.equal(gallery.searches, 0);
  assert.equal(doorkeeper.counts().faulty, 12);
  assert.deepEqual(
    new Set(faults.map((fault) => (fault as { readonly code: string }).code)),
    new Set(["not_finite"]),
  );
  assert.equal(published.length, 0);
});

test("a slow search: the oldest waiting frames are dropped, their ended tracks are not", async () => {
  const { clock, doorkeeper, gallery, look, said } = house({}, { queueMax: 2, trackFramesMin: 1 });
  await look(unit(1), "gone");
  const gate = Promise.withResolvers<void>();
  gallery.ready = gate.promise;
  const pending: Promise<readonly Decision[]>[] = [];
  for (let n = 0; n < 8; n += 1) {
    await clock.advance(20);
    pending.push(
      doorkeeper.observe(
        looked(clock.monotonicMs(), [{ embedding: STRANGER }], n === 2 ? ["gone"] : []),
      ),
    );
  }
  assert.equal(doorkeeper.counts().dropped, 5);
  gate.resolve();
  await Promise.all(pending);
  assert.deepEqual(said(), ["deny too_few_frames"]);
  assert.equal(doorkeeper.counts().tracks, 1);
});

test("a slow camera does not wait for another's search", async () => {
  const both = AccessRules.parse({
    groups: ["staff"],
    doors: [{ id: "front", cameras: ["cam-1", "cam-2"], allow: { staff: ["always"] } }],
  });
  const { clock, doorkeeper, gallery, published } = house({ rules: () => both });
  const gate = Promise.withResolvers<void>();
  gallery.ready = gate.promise;
  const stuck = doorkeeper.observe(looked(1, [{ track: "slow", embedding: STRANGER }]));
  gallery.ready = Promise.resolve();
  for (let n = 0; n < 3; n += 1) {
    await clock.advance(100);
    await doorkeeper.observe(
      looked(
        clock.monotonicMs(),
        [{ track: "quick", embedding: unit(2) }],
        [],
        "cam-2" as CameraId,
      ),
    );
  }
  assert.deepEqual(
    published.map(({ cameraId, outcome }) => [cameraId, outcome]),
    [["cam-2", "grant"]],
  );
  gate.resolve();
  await stuck;
});

test("nothing is granted that could not be recorded; the next frame tries again", async () => {
  const { look, published, ledger } = house();
  await times(2, () => look(unit(1)));
  ledger.broken = true;
  await assert.rejects(() => look(unit(1)), /disk full/);
  assert.equal(published.length, 0);
  ledger.broken = false;
  await look(unit(1));
  assert.equal(published[0]?.outcome, "grant");
});

test("a failing search rejects that frame alone, and its tracks still end", async () => {
  const { clock, doorkeeper, gallery, look } = house();
  await look(unit(1));
  await clock.advance(100);
  gallery.ready = Promise.reject(new Error("worker died"));
  await assert.rejects(
    () =>
      doorkeeper.observe(
        looked(clock.monotonicMs(), [{ track: "t2", embedding: unit(1) }], ["t1"]),
      ),
    /worker died/,
  );
  assert.equal(doorkeeper.counts().tracks, 0);
  gallery.ready = Promise.resolve();
  await look(unit(1));
  assert.equal(doorkeeper.counts().tracks, 1);
});

test("misses at the end of a track tell why", async () => {
  const { clock, doorkeeper, published, said } = house();
  for (let n = 0; n < 4; n += 1) {
    await clock.advance(100);
    await doorkeeper.observe(
      looked(clock.monotonicMs(), [
        { track: "far", reasons: n === 0 ? ["dark"] : ["too_small", "blurred"] },
      ]),
    );
  }
  assert.deepEqual(await doorkeeper.cameraLost(CAMERA), published);
  assert.deepEqual(said(), ["deny unusable"]);
  assert.deepEqual(published[0]?.outcome === "deny" && published[0].quality, [
    "too_small",
    "blurred",
    "dark",
  ]);
  assert.equal(doorkeeper.counts().tracks, 0);
});

test("tracks that vision forgot end by themselves, and memory is bounded", async () => {
  const { clock, doorkeeper, look } = house({}, { tracksMax: 8 });
  for (let n = 0; n < 30; n += 1) await look(STRANGER, `t${n}`);
  assert.equal(doorkeeper.counts().tracks, 8);
  await clock.advance(10_001);
  await doorkeeper.observe(looked(clock.monotonicMs(), []));
  assert.equal(doorkeeper.counts().tracks, 0);
});

test("too many attempts at a door: it pauses for everybody, says so once, and searches nothing", async () => {
  const { look, said, gallery, clock } = house(
    {},
    { attemptsPerDoorPerMinuteMax: 12, attemptsPauseMs: 5000 },
  );
  await times(6, () => look(STRANGER, "s1"));
  await times(6, () => look(STRANGER, "s2"));
  const searches = gallery.searches;
  await times(6, () => look(unit(1), "a"));
  assert.equal(gallery.searches, searches);
  assert.deepEqual(said(), [
    "deny unknown",
    "deny unknown",
    "deny too_many_attempts",
    "deny too_many_attempts",
  ]);
  await clock.advance(5000);
  await times(3, () => look(unit(1), "a"));
  assert.equal(said().at(-1), "grant allowed");
});

test("the live view shows misses and quality", async () => {
  const { clock, doorkeeper, seen } = house();
  await doorkeeper.observe(looked(clock.monotonicMs(), [{ reasons: ["dark"] }]));
  assert.deepEqual([seen[0]?.status, seen[0]?.quality], ["unusable", ["dark"]]);
});

test("whatever is seen: grants need three frames of that person in that track, and an enabled record", async () => {
  const step = fc.record({
    track: fc.constantFrom("t1", "t2"),
    face: fc.constantFrom("anna", "ben", "stranger", "dark"),
    event: fc.constantFrom(
      "none",
      "none",
      "none",
      "acknowledge",
      "disable-anna",
      "enable-anna",
      "end",
    ),
    wait: fc.integer({ min: 1, max: 800 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { clock, doorkeeper, ledger, published } = house();
      const shown = new Map<string, number>();
      for (const { track, face, event, wait } of steps) {
        await clock.advance(wait);
        if (event === "disable-anna") ledger.identities.set(ANNA, person(ANNA, { enabled: false }));
        if (event === "enable-anna") ledger.identities.set(ANNA, person(ANNA));
        if (event === "acknowledge") doorkeeper.acknowledged(published.at(-1)?.id ?? "none");
        const key = `${track} ${face}`;
        shown.set(key, (shown.get(key) ?? 0) + 1);
        const embedding = face === "anna" ? unit(1) : face === "ben" ? unit(2) : STRANGER;
        const now = await doorkeeper.observe(
          looked(
            clock.monotonicMs(),
            [face === "dark" ? { track, reasons: ["dark"] } : { track, embedding }],
            event === "end" ? [track] : [],
          ),
        );
        for (const decision of now) {
          if (decision.outcome !== "grant") continue;
          assert.equal(decision.trackId, track);
          assert.equal(decision.identityId, face, "the very frame shows the person");
          assert.ok((shown.get(key) ?? 0) >= 3);
          assert.equal(ledger.identities.get(decision.identityId)?.enabled, true);
        }
        if (event === "end")
          for (const name of ["anna", "ben", "stranger", "dark"]) shown.delete(`${track} ${name}`);
      }
      assert.deepEqual(ledger.recorded, published);
      assert.equal(new Set(published.map(({ id }) => id)).size, published.length);
    }),
    { numRuns: 60 },
  );
});
