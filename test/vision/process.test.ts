/** The vision process with real models, a real decoder, and everything that may happen to it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { CameraId } from "../../src/lib/brand.ts";
import {
  type CameraHealthMessage,
  type ObserveMessage,
  VisionOptions,
} from "../../src/observation/messages.ts";
import { createClock } from "../../src/system/clock.ts";
import { VisionProcess, type VisionProcessOptions } from "../../src/vision/process.ts";
import { RecordingLog } from "../support/log.ts";
import { CLIPS, withoutClips } from "../support/models.ts";
import { type NutSource, openNutSource } from "../support/nut-source.ts";
import { bundledPack } from "../support/pack.ts";

const CAMERA = "door" as CameraId;
const ENTRY = join(import.meta.dirname, "../support/vision/main.ts");
const WALK = ["-stream_loop", "-1", "-i", `${CLIPS}/face-demographics-walking-and-pause.gif`];

class Seen {
  readonly observed: ObserveMessage[] = [];
  readonly health: CameraHealthMessage[] = [];
  readonly lost: string[] = [];
  back = 0;
  header: Uint8Array | undefined;
  readonly #waiting = new Set<() => void>();

  readonly listener = {
    onObserve: (message: ObserveMessage) => this.#note(() => this.observed.push(message)),
    onHealth: (message: CameraHealthMessage) => this.#note(() => this.health.push(message)),
    onStreamHeader: (_: CameraId, bytes: Uint8Array) => this.#note(() => (this.header = bytes)),
    onLost: (reason: string) => this.#note(() => this.lost.push(reason)),
    onBack: () => this.#note(() => (this.back += 1)),
  };

  /** Resolves once `isTrue` holds. */
  async until(isTrue: () => boolean, what: string, ms = 15_000): Promise<void> {
    const deadline = performance.now() + ms;
    while (!isTrue()) {
      const left = deadline - performance.now();
      if (left <= 0) assert.fail(`no ${what} within ${ms} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #note(change: () => unknown): void {
    change();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

async function started(change: Partial<VisionProcessOptions> = {}) {
  const seen = new Seen();
  const stop = new AbortController();
  const vision = new VisionProcess(
    {
      packDirectory: bundledPack().directory,
      vision: VisionOptions.parse({ providers: ["cpu"] }),
      entry: ENTRY,
      backoff: { firstMs: 50, maxMs: 200 },
      ...change,
    },
    { clock: createClock(), log: new RecordingLog(), random: () => 0, listener: seen.listener },
  );
  const loaded = await vision.start();
  const running = vision.run(stop.signal);
  return {
    vision,
    seen,
    loaded,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
      await vision[Symbol.asyncDispose]();
    },
  };
}

describe("a camera while vision comes and goes", { skip: withoutClips() }, () => {
  const stack = new AsyncDisposableStack();
  let source: NutSource;
  let part: Awaited<ReturnType<typeof started>>;
  before(async () => {
    // What was opened is closed also when the other could not be: a decoder left over would hold the run open.
    source = stack.use(await openNutSource(WALK, "1280:720", 10));
    // The recording is small: scaled up it is softer than what may be enrolled.
    const vision = VisionOptions.parse({ providers: ["cpu"] });
    const enrolment = { ...vision.enrolment, sharpnessMin: 0 };
    part = stack.use(await started({ vision: { ...vision, enrolment } }));
    part.vision.attach(CAMERA, source.socket, undefined, { widthPx: 1280, heightPx: 720 });
  });
  after(() => stack.disposeAsync());

  test("people are seen, tracked and embedded; health comes every second", async () => {
    const { seen } = part;
    await seen.until(
      () =>
        seen.observed.some(
          ({ observations }) => observations.filter(({ embedding }) => embedding).length > 0,
        ),
      "embedding",
    );
    // The first report comes with the first frame, the second at any time within a second of it.
    await seen.until(() => {
      const { fps = 0, framesProcessed = 0, ageMs = 1000 } = seen.health.at(-1) ?? {};
      return seen.health.length >= 2 && fps > 5 && framesProcessed > 0 && ageMs < 500;
    }, "health of a camera that is well");
    const frame = seen.observed.find(({ observations }) => observations.length === 3);
    assert.ok(frame !== undefined, "three people in one frame");
    assert.equal(new Set(frame.observations.map(({ trackId }) => trackId)).size, 3);
    assert.ok(seen.header !== undefined);
  });

  test("a snapshot is a JPEG of the camera; another camera has none", async () => {
    const { jpeg } = await part.vision.snapshot(CAMERA);
    assert.deepEqual([...jpeg.subarray(0, 3)], [0xff, 0xd8, 0xff]);
    await assert.rejects(part.vision.snapshot("nowhere" as CameraId), { code: "camera_away" });
  });

  test("source crops come only while collecting, and give the same embedding again", async () => {
    const { vision, seen } = part;
    assert.ok(
      seen.observed.every(({ observations }) =>
        observations.every(({ sourceCrop }) => sourceCrop === undefined),
      ),
    );
    vision.collect(CAMERA, true);
    const collected = () =>
      seen.observed
        .flatMap(({ observations }) => observations)
        .find(({ sourceCrop }) => sourceCrop !== undefined);
    await seen.until(() => collected() !== undefined, "source crop");
    vision.collect(CAMERA, false);
    const shot = collected();
    assert.ok(shot?.sourceCrop !== undefined && shot.embedding !== undefined);
    const { embeddings } = await vision.embedCrops([shot.sourceCrop]);
    const cosine = shot.embedding.reduce(
      (sum, value, index) => sum + value * (embeddings[0]?.[index] ?? 0),
      0,
    );
    assert.ok(cosine > 0.9999, `${cosine}`);
  });

  test("SIGSEGV: replaced, the decoder runs on, frames come again, no track id used twice", async () => {
    const { vision, seen } = part;
    const ids = new Set(
      seen.observed.flatMap(({ observations }) => observations.map(({ trackId }) => trackId)),
    );
    const decoderPid = source.decoder.pid;
    const before = seen.observed.length;
    // How soon is measured by test/bench/camera.ts: another test may have the machine now.
    process.kill(vision.pid ?? 0, "SIGSEGV");
    await seen.until(
      () => seen.observed.length > before && seen.back === 1,
      "frame after the crash",
    );
    assert.deepEqual(seen.lost, ["SIGSEGV"]);
    assert.equal(source.decoder.exitCode, null);
    assert.equal(source.decoder.pid, decoderPid);
    const fresh = seen.observed
      .slice(before)
      .flatMap(({ observations }) => observations.map(({ trackId }) => trackId));
    assert.ok(fresh.every((id) => !ids.has(id)));
  });

  test("a request in flight when the process dies fails with a code that says: again", async () => {
    const { vision, seen } = part;
    await assert.rejects(vision.analyseImage(Buffer.from("CRASH now"), { maxFaces: 1 }), {
      code: "vision_restarted",
      retry: "now",
    });
    await seen.until(() => vision.status().state === "ready" && seen.back === 2, "successor");
    assert.equal(vision.status().restarts, 2);
  });

  test("a model thread that fails takes its process with it", async () => {
    const { vision, seen } = part;
    await assert.rejects(
      vision.analyseImage(Buffer.from("THROW now"), { maxFaces: 1 }),
      (thrown: { code: string }) => ["vision_restarted", "image_unsupported"].includes(thrown.code),
    );
    await seen.until(() => seen.back === 3, "successor");
  });

  test("senseless messages are counted, repeated ones end the process", async () => {
    const { vision, seen } = part;
    await assert.rejects(vision.analyseImage(Buffer.from("NONSENSE 1"), { maxFaces: 1 }), {
      code: "image_unsupported",
    });
    assert.deepEqual([vision.status().invalidMessages, seen.back], [1, 3]);
    for (let i = 0; i < 2; i += 1)
      await vision.analyseImage(Buffer.from("NONSENSE 2"), { maxFaces: 1 }).catch(() => undefined);
    await seen.until(() => seen.back === 4, "successor");
    assert.ok(seen.observed.every(({ cameraId }) => cameraId === CAMERA));
  });

  test("a camera that is detached is heard of no more", async () => {
    const { vision, seen } = part;
    vision.detach(CAMERA);
    const count = seen.observed.length;
    await vision.ping();
    await vision.ping();
    assert.equal(seen.observed.length, count);
  });
});

test("frames are drained while the models load, and looked at once main takes observations", {
  skip: withoutClips(),
}, async () => {
  await using source = await openNutSource(WALK, "640:360", 10);
  const seen = new Seen();
  const clock = createClock();
  await using vision = new VisionProcess(
    { packDirectory: bundledPack().directory, vision: VisionOptions.parse({}), entry: ENTRY },
    { clock, log: new RecordingLog(), random: () => 0, listener: seen.listener },
  );
  let wasReady = true;
  await vision.start(undefined, () => {
    wasReady = vision.status().state === "ready";
    vision.attach(CAMERA, source.socket, undefined, { widthPx: 640, heightPx: 360 });
  });
  assert.equal(wasReady, false);
  await seen.until(() => (seen.health.at(-1)?.framesReceived ?? 0) >= 10, "frames");
  assert.equal(seen.health.at(-1)?.framesProcessed, 0);
  assert.equal(seen.observed.length, 0);
  const stop = new AbortController();
  const from = clock.monotonicMs();
  const running = vision.run(stop.signal);
  await seen.until(() => seen.observed.length > 0, "observation");
  stop.abort();
  await running;
  // The newest of those that waited, not the first.
  const first = seen.observed[0]?.capturedAt.monotonicMs ?? 0;
  assert.ok(from - first < VisionOptions.parse({}).frameAgeMaxMs, `${from - first} ms old`);
});

test("a process that hangs is replaced", async () => {
  await using part = await started({ hangMs: 700 });
  const { vision, seen } = part;
  await assert.rejects(vision.analyseImage(Buffer.from("HANG now"), { maxFaces: 1 }), {
    code: "vision_restarted",
  });
  await seen.until(() => seen.back === 1, "successor");
  assert.match(seen.lost[0] ?? "", /^hang/);
});

test("a process that grows beyond its limit is replaced", async () => {
  await using part = await started({ rssMaxBytes: 1024 });
  await part.seen.until(() => part.seen.back >= 1, "successor");
  assert.match(part.seen.lost[0] ?? "", /^memory/);
});

test("a slow model drops frames and never ages them", { skip: withoutClips() }, async () => {
  await using source = await openNutSource(WALK, "640:360", 15);
  await using part = await started({ packDirectory: `${bundledPack().directory}?slowMs=300` });
  part.vision.attach(CAMERA, source.socket, undefined, { widthPx: 640, heightPx: 360 });
  await part.seen.until(() => part.seen.health.length >= 5, "health");
  const ages = part.seen.health.flatMap(({ ageMs }) => (ageMs === undefined ? [] : [ageMs]));
  const last = part.seen.health.at(-1);
  assert.ok(last !== undefined && last.framesDropped > 20, `${last?.framesDropped} dropped`);
  assert.ok(
    last.framesReceived - last.framesDropped - last.framesProcessed <= 3,
    JSON.stringify(last),
  );
  // Twice the time between frames: the one that waits is replaced by the next. The middle one: the thread
  // may wait for a core now and then.
  const middle = ages.sort((a, b) => a - b)[ages.length >> 1];
  assert.ok(middle !== undefined && middle < 300, `${ages}`);
});

test("a pack that is not what it says is refused with its code", async () => {
  await assert.rejects(started({ packDirectory: "/nowhere" }), { code: "pack_missing" });
});

test("hostile pictures are answered with codes by a process that goes on", async () => {
  await using part = await started();
  const png = Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13]),
    Buffer.from("IHDR"),
    Buffer.from([0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 2, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from([0, 0, 0, 0]),
    Buffer.from("IEND"),
    Buffer.alloc(4),
  ]);
  await assert.rejects(part.vision.analyseImage(png, { maxFaces: 1 }), { code: "image_too_large" });
  await assert.rejects(part.vision.analyseImage(png.subarray(0, 20), { maxFaces: 1 }), {
    code: "image_corrupt",
  });
  await assert.rejects(part.vision.analyseImage(Buffer.from("hello"), { maxFaces: 1 }), {
    code: "image_unsupported",
  });
  assert.equal(part.vision.status().restarts, 0);
});
