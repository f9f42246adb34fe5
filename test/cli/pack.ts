/** A pack imported once per test file from $OSTIARY_SHARED. */
import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { cli } from "./support.ts";

const models = join(resolve(process.env["OSTIARY_SHARED"] ?? "../shared"), "data/models");
const detector = join(models, "face_detection_yunet_2023mar.onnx");
const embedder = join(models, "face-reidentification-retail-0095.onnx");

/** For node:test's `skip`: false, or a loud reason. */
export const noModels =
  existsSync(detector) && existsSync(embedder)
    ? false
    : `NO MODELS: set OSTIARY_SHARED (looked in ${models})`;

export async function importPack(directory: string): Promise<string> {
  const out = join(directory, "pack");
  const run = await cli([
    "models",
    "import",
    "--detector",
    detector,
    "--embedder",
    embedder,
    "--preset",
    "retail-0095",
    "--out",
    out,
  ]);
  if (run.exit !== 0) throw new Error(run.error);
  return out;
}

/** The public-domain portrait that set-up installs with scikit-image. */
export function portraitFile(): string | undefined {
  const lib = ".venv/lib";
  const versions = existsSync(lib) ? readdirSync(lib) : [];
  return versions
    .map((version) => join(lib, version, "site-packages/skimage/data/astronaut.png"))
    .find((path) => existsSync(path));
}

export const noPortrait =
  portraitFile() === undefined ? "NO PORTRAIT: run scripts/setup.sh" : false;
