/** A pack whose embedder `facetrain` has trained a little further on this machine, calibrated and packed. Made once per machine. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { MODELS } from "./models.ts";
import { type BuiltPack, bundledPack, opened, packsDirectory } from "./pack.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const KEPT = join(ROOT, "scripts/training/checkpoints/bundled-embedder.pt");
/** 889 portraits, nearly each of another person. */
const FACES = join(dirname(MODELS), "train/pixabay_aligned112.tar");
const TEACHER = join(MODELS, "face-reidentification-retail-0095.onnx");
/** Six steps on 96 views at a low rate: other weights, another space, about as good. */
const SETTINGS = [
  "loop.max_steps=6",
  "loop.ema_decay=0.9",
  "optim.lr=1e-4",
  "optim.matrix_lr=1e-3",
  "data.sizes=[[1.0,112]]",
  "data.weights={}",
  "held_out.every_steps=0",
];

/** @param id also of its embedding space */
export function trainedPack(id: string, releaseCounter: number): BuiltPack {
  const base = bundledPack();
  const hash = createHash("sha256")
    .update(readFileSync(import.meta.filename))
    .update(readFileSync(KEPT))
    .update(JSON.stringify(base.pack.files));
  const place = join(
    packsDirectory(),
    `${id}-${releaseCounter}-${hash.digest("hex").slice(0, 12)}`,
  );
  if (!existsSync(place)) train(id, releaseCounter, base, place);
  return opened(join(place, id));
}

function train(id: string, releaseCounter: number, base: BuiltPack, place: string): void {
  const partial = `${place}.partial-${process.pid}`;
  const inside = (name: string): string => join(partial, name);
  mkdirSync(partial, { recursive: true });
  try {
    facetrain([
      ...["distill", "bundled:cpu", "--data", FACES, "--teacher", TEACHER, "--device", "cpu"],
      ...["--out", inside("run")],
      ...[`model.init_from=${KEPT}`, ...SETTINGS].flatMap((setting) => ["--set", setting]),
    ]);
    facetrain([
      ...["refit", inside("run/last.pt"), "--faces", FACES, "--teacher", TEACHER],
      // So few steps leave statistics of six batches behind.
      ...["--statistics", "192", "--pictures", "192", "--out", inside("run/refitted.pt")],
    ]);
    const embedder = inside("embedder.onnx");
    facetrain(["export", "--checkpoint", inside("run/refitted.pt"), "--out", embedder]);
    facetrain([
      ...["calibrate", "--onnx", embedder, "--faces", FACES, "--out", inside("calibration")],
      ...["--set", "Pixabay, each picture taken for another person"],
    ]);
    facetrain([
      ...["pack", "--embedder", embedder, "--out", inside(id), "--space", `${id}.arcface112.v1`],
      ...["--detector", join(base.directory, base.pack.detector.file)],
      ...["--score-min", String(base.pack.detector.scoreMin)],
      ...["--landmarks", base.pack.detector.landmarks],
      ...["--calibration", inside("calibration/calibration.json")],
      ...["--release", String(releaseCounter)],
      ...["--source", "trained in a test", "--licence", "Apache-2.0, as this repository"],
    ]);
    rmSync(inside("run"), { recursive: true });
    if (!existsSync(place)) renameSync(partial, place);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

function facetrain(args: readonly string[]): void {
  const run = spawnSync(join(ROOT, ".venv/bin/python"), ["-m", "facetrain", ...args], {
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "1" },
  });
  if (run.status !== 0)
    throw new Error(`facetrain ${args[0]} failed: ${run.stderr.slice(-2000) || run.error}`);
}
