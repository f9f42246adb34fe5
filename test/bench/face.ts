/** The full face step on one 720p frame with one face; beside it, in turn, the bare calls; then the peer. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { measure, reasonsAgainst } from "../../src/face/quality.ts";
import type { Frame } from "../../src/frame/frame.ts";
import { type CameraId, cosine, epochMs, monotonicMs } from "../../src/lib/brand.ts";
import { matchOf } from "../../src/match/matching.ts";
import { MatchOptions } from "../../src/match/options.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { type Stages, see } from "../../src/see.ts";
import { LiveGallery } from "../../src/store/index/live-gallery.ts";
import { createClock } from "../../src/system/clock.ts";
import { noTracks } from "../../src/track/step.ts";
import { Models } from "../../src/vision/models.ts";
import type { Mat } from "../../src/vision/opencv.ts";
import { RecordingLog } from "../support/log.ts";
import { referencePack } from "../support/pack.ts";
import { bareModels, bareOpenCv } from "./bare.ts";
import { atMost, type Bench, type BenchContext, type BenchResult, type Table } from "./bench.ts";
import type { PeerFigures } from "./peer.ts";
import { HEIGHT, frame as portraitFrame, WIDTH } from "./pictures.ts";
import { median, rssMb, samplesOf, type Timing, timingOf } from "./stats.ts";
import { people, stored } from "./vectors.ts";

/** Two hundred people: a site of middling size. Larger galleries are the search benchmark's. */
const TEMPLATES = 1000;
const PEER = new URL("./peer.ts", import.meta.url).pathname;

export const bench: Bench = async (context) => {
  const pixels = new Uint8Array(await portraitFrame("nv12"));
  const pack = referencePack();
  await using models = await Models.open(pack.directory, VisionOptions.parse({}));
  await using gallery = await LiveGallery.open(
    { spaceId: models.loaded.spaceId, dimension: models.pack.embedder.dimension },
    {
      record: { templates: (spaceId) => stored(people(TEMPLATES), spaceId) },
      changes: () => () => undefined,
      clock: createClock(),
      log: new RecordingLog(),
    },
  );
  const step = stepOf(models, gallery, pixels);
  if ((await step()) !== 1) throw new Error("the picture does not give exactly one embedding");
  // What a first run leaves behind: the memory of our part alone, before the bare sessions double it.
  for (let round = 0; round < 20; round += 1) await step();
  const ownMb = rssMb();
  const samples = await timed(models, pack.directory, gallery, pixels, step, context);
  context.say("the peer");
  const peer = await peerFigures(context.quick ? 3 : 40);
  return resultOf(samples, ownMb, peer);
};

/** Detect, align, quality, track, embed, search, match: as vision and main do it. @returns how many were embedded */
function stepOf(models: Models, gallery: LiveGallery, pixels: Uint8Array) {
  const options = VisionOptions.parse({});
  const { quorumFrames, refreshMs, trackLostMs, trackCosineMin } = options;
  const { spaceId } = models.loaded;
  const seeOptions = {
    ...{ quorumFrames, refreshMs, trackLostMs, trackCosineMin, spaceId },
    isCollecting: false,
  };
  const matching = MatchOptions.parse({});
  const threshold = { kind: "threshold", cosine: cosine(0.5), source: "floor" } as const;
  const frame: Frame = {
    cameraId: "bench" as CameraId,
    sequence: 1,
    capturedAt: { monotonicMs: monotonicMs(1), epochMs: epochMs(1) },
    widthPx: WIDTH,
    heightPx: HEIGHT,
    layout: "nv12",
    pixels,
  };
  return async (): Promise<number> => {
    const picture = models.nv12(pixels, WIDTH, HEIGHT);
    const stages: Stages<Mat> = {
      detect: () => models.detect(picture),
      align: (_, face) => {
        const aligned = models.align(picture, face.landmarks);
        if (aligned === undefined) return undefined;
        const measures = measure(face, aligned.statistics, WIDTH, HEIGHT);
        const reasons = reasonsAgainst(measures, options.probe, true);
        const isEnrollable = reasonsAgainst(measures, options.enrolment, true).length === 0;
        return { crop: aligned.crop, measures, reasons, isEnrollable };
      },
      mayEmbed: () => true,
      lookAgain: (_, face) => models.lookAgain(picture, face),
      embed: (crop) => models.embed(crop),
      sourceCrop: () => undefined,
      nowMs: () => performance.now(),
    };
    // New tracks each time: every frame is of the quorum, so that none goes without the embedder.
    const { message } = await see(frame, noTracks("bench"), seeOptions, stages);
    let embedded = 0;
    for (const { embedding } of message.observations) {
      if (embedding === undefined) continue;
      matchOf(await gallery.search(embedding, matching.candidates), threshold, matching);
      embedded += 1;
    }
    return embedded;
  };
}

async function timed(
  models: Models,
  directory: string,
  gallery: LiveGallery,
  pixels: Uint8Array,
  step: () => Promise<number>,
  { quick, say }: BenchContext,
) {
  const picture = models.nv12(pixels, WIDTH, HEIGHT);
  const [face] = await models.detect(picture);
  const aligned = face === undefined ? undefined : models.align(picture, face.landmarks);
  if (face === undefined || aligned === undefined) throw new Error("no face in the picture");
  const embedding = await models.embed(aligned.crop);
  if (embedding === undefined) throw new Error("the face gives no embedding");
  const bare = await bareModels(directory, models, picture, aligned.crop);
  const openCv = bareOpenCv(models, pixels, face);
  const rounds = quick ? 10 : 200;
  say(`${rounds} rounds`);
  const samples = await samplesOf(
    {
      step,
      // One behind the other, as in the step: each finds the caches as the other left them.
      bare: async () => {
        await bare.detect.run();
        await bare.embed.run();
      },
      bareDetector: bare.detect.run,
      bareEmbedder: bare.embed.run,
      detect: () => models.detect(picture),
      scale: bare.scale,
      write: bare.writeDetector,
      align: () => models.align(picture, face.landmarks),
      embed: () => models.embed(aligned.crop),
      match: () => gallery.search(embedding, MatchOptions.parse({}).candidates),
      bareConvert: openCv.convertAndScale,
      bareWarp: openCv.warp,
    },
    rounds,
  );
  return { samples, inputs: { detector: bare.detectorInput, embedder: bare.embedderInput } };
}

async function peerFigures(rounds: number): Promise<PeerFigures> {
  const directory = mkdtempSync(join(tmpdir(), "ostiary-bench-"));
  try {
    const file = join(directory, "frame.rgb");
    writeFileSync(file, await portraitFrame("rgb24"));
    const args = [PEER, file, String(WIDTH), String(HEIGHT), String(rounds)];
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 600_000 });
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as PeerFigures;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function resultOf(
  { samples, inputs }: Awaited<ReturnType<typeof timed>>,
  ownMb: number,
  peer: PeerFigures,
): BenchResult {
  const timing = (name: keyof typeof samples): Timing => timingOf(samples[name]);
  const step = timing("step");
  // Round by round, so that a slow minute counts on both sides.
  const overhead = median(samples.step.map((ms, at) => (ms / (samples.bare[at] ?? ms) - 1) * 100));
  const row = (what: string, name: keyof typeof samples) => {
    const { p50Ms, p95Ms } = timing(name);
    return [what, p50Ms, p95Ms, (p50Ms / step.p50Ms) * 100];
  };
  const parts: Table = {
    title: "Face step, 720p NV12, one face, 1000 templates",
    columns: ["what", "p50 ms", "p95 ms", "% of step"],
    rows: [
      row("face step: detect, align, quality, track, embed, match", "step"),
      row("bare ONNX Runtime: detector, then embedder", "bare"),
      row(`· bare detector ${inputs.detector}`, "bareDetector"),
      row(`· bare embedder ${inputs.embedder}`, "bareEmbedder"),
      row("our detect: scale, write tensor, run, decode", "detect"),
      row("· scale and convert the frame", "scale"),
      row("· write the tensor", "write"),
      row("our align: convert region, warp, measure", "align"),
      row("our embed: resize, write, run, normalise", "embed"),
      row("our match: search 1000 templates, exact", "match"),
      row("bare OpenCV: whole frame NV12→BGR, resize to 640×360", "bareConvert"),
      row("bare OpenCV: warpAffine to 112×112", "bareWarp"),
    ],
    notes: [
      `${step.runs} rounds, each contender once per round`,
      `overhead over the bare model runs, median of the rounds: ${overhead.toFixed(1)} %`,
    ],
  };
  const versus = (what: string, { p50Ms, p95Ms }: Timing, faces: number, mb: number) => [
    what,
    faces,
    p50Ms,
    p95Ms,
    p50Ms / step.p50Ms,
    mb,
  ];
  const peers: Table = {
    title: "Beside the peer: the same frame, detect to descriptor",
    columns: ["what", "faces", "p50 ms", "p95 ms", "× ours", "RSS MB"],
    rows: [
      versus("ostiary (with match)", step, 1, ownMb),
      versus("face-api, tiny detector 416", peer.timings.tiny, peer.faces.tiny, peer.rssMb),
      versus("face-api, SSD MobileNet v1", peer.timings.ssd, peer.faces.ssd, peer.rssMb),
    ],
    notes: [`@vladmandic/face-api in a process of its own, ${peer.backend}, its bundled models`],
  };
  return {
    tables: [parts, peers],
    budgets: [
      atMost("full face step, 720p, 1 face, p50", 40, step.p50Ms, "ms"),
      atMost("its overhead over the bare model runs", 10, overhead, "%"),
    ],
  };
}
