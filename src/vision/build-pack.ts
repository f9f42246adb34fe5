/** Builds a pack directory from model files: what `ostiary models import` and the tests use. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import type { z } from "zod";
import { Pack, type PackFile } from "../embedding/pack.ts";
import {
  DETECTOR_PRESETS,
  type DetectorPreset,
  EMBEDDER_PRESETS,
  type EmbedderPreset,
} from "../embedding/presets.ts";
import { Fault } from "../lib/fault.ts";
import { makeGolden } from "./golden.ts";
import { withDynamicInput } from "./onnx-shape.ts";
import { loadOpenCv } from "./opencv.ts";
import { loadRuntime } from "./session.ts";
import { sha256 } from "./sha256.ts";

export interface BuildPackOptions {
  readonly id: string;
  /** Must not exist; it appears whole or not at all. */
  readonly directory: string;
  readonly detectorFile: string;
  readonly embedderFile: string;
  /** Names of presets; without one the file's sha256 chooses. */
  readonly detectorPreset?: string | undefined;
  readonly embedderPreset?: string | undefined;
}

/**
 * Checks the files against their presets, makes golden vectors on this machine's CPU and writes the
 * directory. Loads OpenCV in the calling thread.
 *
 * @throws Fault `checksum_mismatch` or `preset_unknown`: the file is not the one that the preset describes
 */
export async function buildPack(options: BuildPackOptions): Promise<Pack> {
  const detector = await modelOf(
    options.detectorFile,
    DETECTOR_PRESETS,
    options.detectorPreset,
    "detector",
  );
  const embedder = await modelOf(
    options.embedderFile,
    EMBEDDER_PRESETS,
    options.embedderPreset,
    "embedder",
  );
  const files = {
    detector: detector.preset.freeInputSize ? withDynamicInput(detector.bytes) : detector.bytes,
    embedder: embedder.bytes,
  };
  const golden = await makeGolden(
    loadOpenCv(1),
    loadRuntime(),
    files.embedder,
    embedder.preset.spec,
  );
  const pack = Pack.parse(packOf(options.id, detector.preset, embedder.preset, files, golden));
  const temporary = `${options.directory}.partial-${process.pid}`;
  await mkdir(temporary, { recursive: true });
  try {
    await writeFile(`${temporary}/detector.onnx`, files.detector);
    await writeFile(`${temporary}/embedder.onnx`, files.embedder);
    await writeFile(`${temporary}/pack.json`, `${JSON.stringify(pack, null, 2)}\n`);
    await rename(temporary, options.directory);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return pack;
}

function packOf(
  id: string,
  detector: DetectorPreset,
  embedder: EmbedderPreset,
  files: { readonly detector: Uint8Array; readonly embedder: Uint8Array },
  golden: Pack["golden"],
): z.input<typeof Pack> {
  return {
    schema: 1,
    id,
    releaseCounter: 0,
    files: [fileOf("detector.onnx", files.detector), fileOf("embedder.onnx", files.embedder)],
    detector: { file: "detector.onnx", ...detector.spec },
    embedder: { file: "embedder.onnx", ...embedder.spec },
    ...(embedder.calibration === undefined ? {} : { calibration: embedder.calibration }),
    golden,
    provenance: {
      source: `detector: ${detector.source}; embedder: ${embedder.source}`,
      licence: `detector: ${detector.licence}; embedder: ${embedder.licence}`,
    },
    demoOnly: detector.demoOnly || embedder.demoOnly,
  };
}

function fileOf(name: string, bytes: Uint8Array): z.infer<typeof PackFile> {
  return { name, sha256: sha256(bytes), bytes: bytes.byteLength };
}

async function modelOf<Preset extends { readonly name: string; readonly sha256: string }>(
  file: string,
  presets: readonly Preset[],
  wanted: string | undefined,
  what: string,
): Promise<{ readonly bytes: Uint8Array; readonly preset: Preset }> {
  const names = presets.map(({ name }) => name).join(", ");
  const bytes = await readFile(file);
  const actual = sha256(bytes);
  const preset = presets.find(({ name, sha256: pinned }) =>
    wanted === undefined ? pinned === actual : name === wanted,
  );
  if (preset === undefined) {
    const cause =
      wanted === undefined
        ? `its sha256 ${actual} is not a known ${what}`
        : `"${wanted}" is no ${what} preset`;
    throw new Fault("preset_unknown", `${what} ${file}: ${cause}; known presets: ${names}`);
  }
  if (preset.sha256 !== actual) {
    throw new Fault(
      "checksum_mismatch",
      `${what} ${file} has sha256 ${actual}, preset "${preset.name}" wants ${preset.sha256}; get the file named in its source`,
    );
  }
  return { bytes, preset };
}
