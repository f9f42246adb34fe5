/**
 * Packs for tests of updates, made of the reference pack or another by a few nodes behind its embedder. Each
 * has its own space, of the same number of dimensions as the other's, so that a comparison across spaces
 * would not fail by itself.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import type { Pack } from "../../src/embedding/pack.ts";
import { appendNodes, type OnnxConstant, type OnnxNode } from "./onnx-append.ts";
import { type BuiltPack, opened, packsDirectory, referencePack } from "./pack.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const OUTPUT = "varied";
const DIMENSION = 256;

/** What becomes of the embedding `flat` ([1, 256]). */
interface Tail {
  readonly nodes: readonly OnnxNode[];
  readonly constants: readonly OnnxConstant[];
  /** The model cannot run: the golden vectors stay those of the pack that it is made of. */
  readonly keepsGolden?: boolean;
}

const floats = (name: string, value: (index: number) => number): OnnxConstant => ({
  name,
  dims: [1, DIMENSION],
  values: Float32Array.from({ length: DIMENSION }, (_, index) => value(index)),
});

const turned: Tail = {
  nodes: [{ op: "Mul", inputs: ["flat", "signs"], output: OUTPUT }],
  constants: [floats("signs", (index) => (index % 2 === 0 ? 1 : -1))],
};

const TAILS = {
  /** Every second number negated: as good as the reference, and nothing like it. */
  turned,
  /** Everybody looks like everybody: recognises strangers. Its golden vectors hold. */
  worse: {
    nodes: [{ op: "Add", inputs: ["flat", "offset"], output: OUTPUT }],
    constants: [floats("offset", (index) => 100 + index)],
  },
  /** As good as `turned`, and slower by 26 thousand million multiply-adds: a third of a second on two cores. */
  slow: {
    nodes: [
      {
        op: "Concat",
        inputs: ["flat", "flat", "flat", "flat"],
        output: "wide",
        attributes: { axis: 1 },
      },
      { op: "Expand", inputs: ["wide", "many"], output: "rows" },
      { op: "Transpose", inputs: ["rows"], output: "columns" },
      { op: "MatMul", inputs: ["rows", "columns"], output: "squares" },
      { op: "ReduceMean", inputs: ["squares"], output: "mean" },
      { op: "Mul", inputs: ["mean", "little"], output: "nothing" },
      { op: "Mul", inputs: ["flat", "signs"], output: "signed" },
      { op: "Add", inputs: ["signed", "nothing"], output: OUTPUT },
    ],
    constants: [
      ...turned.constants,
      { name: "many", dims: [2], values: BigInt64Array.of(5000n, BigInt(4 * DIMENSION)) },
      { name: "little", dims: [1], values: Float32Array.of(1e-30) },
    ],
  },
  /** The least whole number divided by −1: on x86 the processor ends the process when the model runs. */
  crashing: {
    nodes: [
      { op: "Cast", inputs: ["flat"], output: "whole", attributes: { to: 7 } },
      { op: "Sub", inputs: ["whole", "whole"], output: "zero" },
      { op: "Sub", inputs: ["zero", "one"], output: "minus" },
      { op: "Div", inputs: ["least", "minus"], output: "never" },
      { op: "Cast", inputs: ["never"], output: OUTPUT, attributes: { to: 1 } },
    ],
    constants: [
      { name: "one", dims: [1], values: BigInt64Array.of(1n) },
      { name: "least", dims: [1], values: BigInt64Array.of(-(2n ** 63n)) },
    ],
    keepsGolden: true,
  },
} as const satisfies Record<string, Tail>;

export type Variant = keyof typeof TAILS;

/** @param releaseCounter the reference's is 0 */
export function packVariant(
  variant: Variant,
  releaseCounter = 1,
  base: BuiltPack = referencePack(),
): BuiltPack {
  const made = readFileSync(import.meta.filename);
  const hash = createHash("sha256")
    .update(made)
    .update(readFileSync(join(base.directory, "pack.json")));
  const name = `${variant}-${releaseCounter}-${hash.digest("hex").slice(0, 12)}`;
  const directory = join(packsDirectory(), name);
  if (!existsSync(directory)) build(variant, releaseCounter, directory, base);
  return opened(directory);
}

function build(variant: Variant, releaseCounter: number, directory: string, base: BuiltPack): void {
  const { pack } = base;
  const tail: Tail = TAILS[variant];
  const partial = `${directory}.partial-${process.pid}`;
  mkdirSync(partial, { recursive: true });
  try {
    cpSync(base.directory, partial, { recursive: true });
    const flat: OnnxNode = { op: "Flatten", inputs: [pack.embedder.output], output: "flat" };
    const original = readFileSync(join(base.directory, pack.embedder.file));
    const model = appendNodes(original, [flat, ...tail.nodes], tail.constants, OUTPUT);
    const file = {
      name: `embedder-${variant}.onnx`,
      sha256: sha256Of(model),
      bytes: model.byteLength,
    };
    rmSync(join(partial, pack.embedder.file));
    writeFileSync(join(partial, file.name), model);
    const embedder = {
      ...pack.embedder,
      file: file.name,
      output: OUTPUT,
      spaceId: `${variant}.arcface112.v1`,
    };
    const golden =
      tail.keepsGolden === true ? pack.golden : goldenOf(join(partial, file.name), embedder);
    const made = {
      ...pack,
      id: variant,
      releaseCounter,
      files: [...pack.files.filter(({ name }) => name !== pack.embedder.file), file],
      embedder,
      golden,
    };
    writeFileSync(join(partial, "pack.json"), `${JSON.stringify(made, null, 2)}\n`);
    // Two test files may build at once: the directory appears whole, and the later one finds it there.
    if (!existsSync(directory)) renameSync(partial, directory);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** In a process of its own, so that the caller stays free of OpenCV and ONNX Runtime. */
function goldenOf(model: string, spec: object): Pack["golden"] {
  const from = (path: string): string => JSON.stringify(join(ROOT, "src/vision", path));
  const script = `
    import { readFileSync } from "node:fs";
    import { makeGolden } from ${from("golden.ts")};
    import { loadOpenCv } from ${from("opencv.ts")};
    import { loadRuntime } from ${from("session.ts")};
    const model = readFileSync(${JSON.stringify(model)});
    const golden = await makeGolden(loadOpenCv(1), loadRuntime(), model, ${JSON.stringify(spec)});
    process.stdout.write(JSON.stringify(golden));`;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], {
    encoding: "utf8",
    maxBuffer: 1 << 24,
  });
  if (run.status !== 0) throw new Error(`cannot make golden vectors: ${run.stderr}`);
  return JSON.parse(run.stdout) as Pack["golden"];
}
