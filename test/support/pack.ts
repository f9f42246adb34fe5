/** Packs for tests: the one of this checkout, and one that is built once per machine from OSTIARY_SHARED. */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Pack } from "../../src/embedding/pack.ts";
import { RETAIL_0095, YUNET } from "./models.ts";

export interface BuiltPack {
  readonly directory: string;
  readonly pack: Pack;
}

const ROOT = resolve(import.meta.dirname, "../..");
/** What a pack is made by: a change makes a new one. */
const MAKERS = [
  "vision/build-pack.ts",
  "vision/golden.ts",
  "vision/onnx-shape.ts",
  "embedding/presets.ts",
  "embedding/preset-calibrations.ts",
  "embedding/pack.ts",
];

/** The bundled pack: what everything runs unless it is told otherwise. */
export function bundledPack(): BuiltPack {
  const packs = readdirSync(join(ROOT, "models"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => opened(join(ROOT, "models", entry.name)))
    .toSorted((a, b) => b.pack.releaseCounter - a.pack.releaseCounter);
  if (packs[0] === undefined) throw new Error("models/ holds no pack: is the checkout whole?");
  return packs[0];
}

/**
 * YuNet 2023mar and face-reidentification-retail-0095 (256 numbers): for what compares with them, and for
 * tests in which several people must be told apart.
 */
export function referencePack(): BuiltPack {
  return built("reference", RETAIL_0095);
}

function built(id: string, embedderFile: string): BuiltPack {
  const hash = createHash("sha256");
  for (const file of MAKERS) hash.update(readFileSync(join(ROOT, "src", file)));
  const directory = join(packsDirectory(), `${id}-${hash.digest("hex").slice(0, 12)}`);
  if (!existsSync(directory)) build(id, embedderFile, directory);
  return opened(directory);
}

/** Where packs that tests have made stay, for the next run on this machine. */
export function packsDirectory(): string {
  const directory = join(tmpdir(), `ostiary-packs-${process.getuid?.() ?? 0}`);
  mkdirSync(directory, { recursive: true });
  return directory;
}

export function opened(directory: string): BuiltPack {
  return {
    directory,
    pack: Pack.parse(JSON.parse(readFileSync(join(directory, "pack.json"), "utf8"))),
  };
}

/** In a process of its own, so that the caller stays free of OpenCV and ONNX Runtime. */
function build(id: string, embedderFile: string, directory: string): void {
  const script = `
    import { buildPack } from ${JSON.stringify(join(ROOT, "src/vision/build-pack.ts"))};
    await buildPack(${JSON.stringify({ id, directory, detectorFile: YUNET, embedderFile })});`;
  const run = spawnSync(process.execPath, ["--input-type=module-typescript", "-e", script], {
    encoding: "utf8",
  });
  // Two test files may build at once: the directory appears whole, and the later one finds it there.
  if (run.status !== 0 && !existsSync(directory))
    throw new Error(`cannot build the test pack: ${run.stderr}`);
}
