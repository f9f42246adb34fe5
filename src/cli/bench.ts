/** `bench`: the face step on this machine, and beside it, in the same run, the bare model runs it consists of. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Landmarks } from "../face/face.ts";
import { letterbox } from "../frame/letterbox.ts";
import { cosineOf } from "../lib/vector.ts";
import { createClock } from "../system/clock.ts";
import { createRandom } from "../system/random.ts";
import type { Models } from "../vision/models.ts";
import { loadRuntime, ModelSession, threadsFor } from "../vision/session.ts";
import type { Action } from "./command.ts";
import { EXIT } from "./exit.ts";
import { packOf } from "./inspect.ts";
import { openModels } from "./pictures.ts";
import { printJson, tableOf } from "./terminal.ts";

const [WIDTH, HEIGHT] = [1280, 720];
const DETECTOR_PX = 640;
const TEMPLATES = 10_000;
const WARM_UP = 5;

/** Stands for a found face when there is no picture with one: 90 px between the eyes, in the middle. */
const DRAWN: Landmarks = [
  { x: 595, y: 320 },
  { x: 685, y: 320 },
  { x: 640, y: 375 },
  { x: 603, y: 420 },
  { x: 677, y: 420 },
];

interface Timing {
  readonly what: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
}

export const bench: Action = async (context) => {
  const { args, terminal, signal } = context;
  const [runs, threads] = [args.number("runs", 5, 10_000), args.number("threads", 0, 256)];
  const directory = await packOf(context);
  await using models = await openModels(directory, threads, { detectorSizePx: DETECTOR_PX });
  const image = args.optional("image");
  const picture =
    image === undefined ? models.nv12(noise(), WIDTH, HEIGHT) : models.image(await readFile(image));
  const found = (await models.detect(picture))[0];
  const gallery = templates(models.pack.embedder.dimension);
  const step = async (): Promise<void> => {
    const [face] = await models.detect(picture);
    const again = face === undefined ? undefined : await models.lookAgain(picture, face);
    const aligned = models.align(picture, again?.landmarks ?? DRAWN);
    if (aligned !== undefined) await models.embed(aligned.crop);
  };
  const bare = await bareRuns(models, directory, threads);
  const time = timer(runs, signal);
  const timings = [
    await time("face step: detect, look again, align, embed", step),
    await time("bare detector run", bare.detector),
    await time("bare embedder run", bare.embedder),
    await time("detect", async () => void (await models.detect(picture))),
    ...(found === undefined
      ? []
      : [await time("look again", async () => void (await models.lookAgain(picture, found)))]),
    await time("align", async () => void models.align(picture, found?.landmarks ?? DRAWN)),
    await time(
      `${TEMPLATES} cosines, one by one (the daemon's index is faster)`,
      async () => void nearest(gallery[0] as Float32Array, gallery),
    ),
  ];
  await bare.release();
  const said = {
    packId: models.pack.id,
    provider: models.loaded.provider,
    threads: threadsFor(threads),
    runs,
    input:
      image === undefined
        ? `noise ${WIDTH}x${HEIGHT}`
        : `picture ${picture.widthPx}x${picture.heightPx}`,
    faceFound: found !== undefined,
  };
  if (args.flag("json")) printJson(terminal, { schema: 1, ...said, timings });
  else {
    terminal.out(
      `${Object.entries(said)
        .map(([key, value]) => `${key} ${value}`)
        .join(" · ")}\n\n`,
    );
    terminal.out(
      tableOf(
        ["WHAT", "P50 ms", "P95 ms"],
        timings.map(({ what, p50Ms, p95Ms }) => [what, p50Ms.toFixed(2), p95Ms.toFixed(2)]),
      ),
    );
  }
  return EXIT.ok;
};

function timer(runs: number, signal: AbortSignal) {
  const clock = createClock();
  return async (what: string, run: () => Promise<unknown>): Promise<Timing> => {
    const samples: number[] = [];
    for (let index = -WARM_UP; index < runs; index += 1) {
      signal.throwIfAborted();
      const from = clock.monotonicMs();
      await run();
      if (index >= 0) samples.push(clock.monotonicMs() - from);
    }
    const sorted = samples.toSorted((a, b) => a - b);
    const at = (share: number): number =>
      Number(
        (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0).toFixed(3),
      );
    return { what, p50Ms: at(0.5), p95Ms: at(0.95) };
  };
}

/** The pack's models alone, with the shapes that the face step uses: no pixels are touched. */
async function bareRuns(models: Models, directory: string, threads: number) {
  const { detector, embedder } = models.pack;
  const { inputWidthPx, inputHeightPx } = letterbox(WIDTH, HEIGHT, DETECTOR_PX);
  const runtime = loadRuntime();
  const open = async (
    file: string,
    inputName: string,
    width: number,
    height: number,
  ): Promise<ModelSession> =>
    ModelSession.open(runtime, {
      model: await readFile(join(directory, file)),
      inputName,
      inputShape: [1, 3, height, width],
      provider: models.loaded.provider,
      threads: threadsFor(threads),
    });
  const sessions = {
    detector: await open(detector.file, detector.input, inputWidthPx, inputHeightPx),
    embedder: await open(
      embedder.file,
      embedder.input,
      embedder.preprocessing.widthPx,
      embedder.preprocessing.heightPx,
    ),
  };
  return {
    detector: () => sessions.detector.run(() => undefined),
    embedder: () => sessions.embedder.run(() => undefined),
    release: async () => {
      await sessions.detector.release();
      await sessions.embedder.release();
    },
  };
}

/** NV12 of noise. */
function noise(): Uint8Array {
  return createRandom().bytes((WIDTH * HEIGHT * 3) / 2);
}

function templates(dimension: number): readonly Float32Array[] {
  const bytes = createRandom().bytes(TEMPLATES * dimension);
  return Array.from({ length: TEMPLATES }, (_, row) =>
    Float32Array.from(
      bytes.subarray(row * dimension, (row + 1) * dimension),
      (value) => value / 128 - 1,
    ),
  );
}

function nearest(vector: Float32Array, gallery: readonly Float32Array[]): number {
  let best = Number.NEGATIVE_INFINITY;
  for (const other of gallery) best = Math.max(best, cosineOf(vector, other));
  return best;
}
