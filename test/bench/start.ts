/** From nothing to the first decision, with 100 k templates of 20 k identities in a real store. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { epochMs, type SpaceId } from "../../src/lib/brand.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { loadDeviceKey } from "../../src/store/device-key.ts";
import { LiveGallery } from "../../src/store/index/live-gallery.ts";
import { StoreLimits } from "../../src/store/limits.ts";
import { Store } from "../../src/store/store.ts";
import { createClock } from "../../src/system/clock.ts";
import { createRandom } from "../../src/system/random.ts";
import { VisionProcess } from "../../src/vision/process.ts";
import { RecordingLog } from "../support/log.ts";
import { referencePack } from "../support/pack.ts";
import { Site } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";
import { atMost, type Bench } from "./bench.ts";
import { visitClip } from "./pictures.ts";
import { enrolPerson, LAUNCHED, PERSON } from "./site.ts";
import { type Timing, timingOf } from "./stats.ts";
import { DIMENSION, identityOf, people, TEMPLATES_PER_IDENTITY } from "./vectors.ts";

const TEMPLATES = 100_000;
const QUICK_TEMPLATES = 10_000;
const ROUNDS = 5;
/** Identities per transaction while the store is filled. */
const BATCH = 500;

export const bench: Bench = async ({ quick, say }) => {
  const templates = quick ? QUICK_TEMPLATES : TEMPLATES;
  const rounds = quick ? 2 : ROUNDS;
  const always = await visitClip({ from: 0, until: 60, seconds: 60 });
  await using site = await Site.open({
    env: LAUNCHED,
    cameras: [{ id: "front", clip: always }],
    config: {
      decision: { coolDownMs: 0 },
      // So large a gallery asks for a false match rate that no table of the pack supports.
      match: { cosineMin: 0.5, fpirTarget: 0.5, extrapolateDecades: 3 },
    },
  });
  say(`filling a store with ${templates} templates`);
  const state = join(site.directory, "state");
  rmSync(state, { recursive: true, force: true });
  fill(state, templates);
  say("the parts of the start");
  const parts = await startParts(state, rounds);
  say("the whole daemon");
  const whole = await startDaemons(site, rounds, say);
  const row = (what: string, { p50Ms, p95Ms, runs }: Timing) => [
    what,
    runs,
    p50Ms / 1000,
    p95Ms / 1000,
  ];
  const total = timingOf(whole.decided);
  return {
    tables: [
      {
        title: `Start with ${templates / 1000} k templates of ${templates / TEMPLATES_PER_IDENTITY / 1000} k identities`,
        columns: ["what", "times", "p50 s", "max s"],
        rows: [
          row("open the store", timingOf(parts.store)),
          row("read and decrypt all templates", timingOf(parts.decrypt)),
          row("gallery: the same, into the index, exact search serves", timingOf(parts.gallery)),
          row("vision: process, models, golden vectors", timingOf(parts.vision)),
          row(
            "store, then gallery and vision at once, as the daemon does",
            timingOf(parts.together),
          ),
          row("daemon: spawned → ready", timingOf(whole.ready)),
          row("daemon: spawned → camera online", timingOf(whole.online)),
          row("daemon: spawned → first decision at the door", total),
        ],
        notes: [
          "the person stands in front of the camera from the start; the RTSP server, the broker and the verifying consumer share the machine",
          "files are in the page cache; an HNSW generation is built meanwhile and takes over later",
        ],
      },
    ],
    budgets: [atMost("start → first decision, p50", 3, total.p50Ms / 1000, "s")],
  };
};

function openStore(directory: string): Store {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const random = createRandom();
  const log = new RecordingLog();
  const keys = loadDeviceKey(
    { file: join(directory, "device.key"), insecureGenerated: true },
    { log, randomBytes: random.bytes },
  );
  return Store.open(
    { directory, keys, limits: StoreLimits.parse({}) },
    { log, randomBytes: random.bytes },
  );
}

function fill(directory: string, templates: number): void {
  using store = openStore(directory);
  const spaceId = referencePack().pack.embedder.spaceId;
  const made = people(templates);
  const at = epochMs(Date.now());
  const perBatch = BATCH * TEMPLATES_PER_IDENTITY;
  for (let from = 0; from < templates; from += perBatch)
    store.transact((tx) => {
      const until = Math.min(templates, from + perBatch);
      for (let row = from; row < until; row += TEMPLATES_PER_IDENTITY) {
        const id = identityOf(row);
        tx.putIdentity(
          { id, displayName: `Made-up ${id}`, groups: [], enabled: true, metadata: {} },
          at,
        );
        const vectors = Array.from({ length: TEMPLATES_PER_IDENTITY }, (_, index) => ({
          spaceId,
          vector: made.template(row + index),
        }));
        tx.addTemplates(id, vectors, at);
      }
    });
}

async function startParts(directory: string, rounds: number) {
  const took = {
    store: [] as number[],
    decrypt: [] as number[],
    gallery: [] as number[],
    vision: [] as number[],
    together: [] as number[],
  };
  const { spaceId } = referencePack().pack.embedder;
  const since = (from: number): number => performance.now() - from;
  for (let round = 0; round < rounds; round += 1) {
    let from = performance.now();
    using store = openStore(directory);
    took.store.push(since(from));
    from = performance.now();
    let read = 0;
    for (const { vector } of store.record.templates(spaceId)) read += vector.length;
    if (read === 0) throw new Error("the store gave no templates");
    took.decrypt.push(since(from));
    from = performance.now();
    await (await openGallery(store, spaceId))[Symbol.asyncDispose]();
    took.gallery.push(since(from));
    from = performance.now();
    await (await startVision())[Symbol.asyncDispose]();
    took.vision.push(since(from));
  }
  for (let round = 0; round < rounds; round += 1) {
    const from = performance.now();
    using store = openStore(directory);
    const [gallery, vision] = await Promise.all([openGallery(store, spaceId), startVision()]);
    took.together.push(since(from));
    await Promise.all([gallery[Symbol.asyncDispose](), vision[Symbol.asyncDispose]()]);
  }
  return took;
}

function openGallery(store: Store, spaceId: SpaceId): Promise<LiveGallery> {
  return LiveGallery.open(
    { spaceId, dimension: DIMENSION },
    {
      record: store.record,
      changes: store.onGalleryChange,
      clock: createClock(),
      log: new RecordingLog(),
    },
  );
}

async function startVision(): Promise<VisionProcess> {
  const nothing = (): void => undefined;
  const vision = new VisionProcess(
    { packDirectory: referencePack().directory, vision: VisionOptions.parse({}) },
    {
      clock: createClock(),
      log: new RecordingLog(),
      random: createRandom().unit,
      listener: {
        onObserve: nothing,
        onHealth: nothing,
        onStreamHeader: nothing,
        onLost: nothing,
        onBack: nothing,
      },
    },
  );
  await vision.start();
  return vision;
}

async function startDaemons(site: Site, rounds: number, say: (line: string) => void) {
  const took = { ready: [] as number[], online: [] as number[], decided: [] as number[] };
  // Once unmeasured: it enrols the person, and Node fills its compile cache.
  await site.start();
  await enrolPerson(site);
  await site.stop();
  for (let round = 0; round < rounds; round += 1) {
    const from = monotonicNow();
    const starting = site.start();
    const ready = site
      .eventually(() => site.logged("started"), "the daemon is ready", 60_000)
      .then(() => monotonicNow() - from);
    const decided = site.eventually(
      () => site.since(from).find(({ identity }) => identity === PERSON),
      "the first decision",
      60_000,
    );
    await starting;
    took.ready.push(await ready);
    took.online.push((await site.cameraIs("front", "online", from)) - from);
    const { arrivedAt, outcome } = await decided;
    took.decided.push(arrivedAt - from);
    say(`round ${round + 1}: ${outcome} after ${Math.round(arrivedAt - from)} ms`);
    await site.stop();
  }
  return took;
}
