/** Packs without models: whole in form, a few hundred bytes, good for everything but vision. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Pack } from "../../src/embedding/pack.ts";
import type { PackName } from "../../src/release/state.ts";

export interface TinyPack {
  readonly name: PackName;
  readonly pack: Pack;
  /** Bytes of `pack.json`. */
  readonly manifest: Uint8Array;
  readonly blobs: ReadonlyMap<string, Uint8Array>;
}

export interface TinyOptions {
  readonly counter: number;
  readonly spaceId?: string;
  /** Text that makes the file's bytes: packs that share it share the file. */
  readonly detector?: string;
  readonly embedder?: string;
}

export const sha256 = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");

export function tinyPack(options: TinyOptions): TinyPack {
  const { counter, spaceId = "space-1", detector = "detector-1" } = options;
  const embedder = options.embedder ?? `embedder of ${spaceId}`;
  const blobs = new Map([
    ["detector.onnx", Buffer.from(detector.repeat(40))],
    ["embedder.onnx", Buffer.from(embedder.repeat(60))],
  ]);
  const preprocessing = {
    widthPx: 112,
    heightPx: 112,
    channelOrder: "rgb",
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
  const pack = Pack.parse({
    schema: 1,
    id: `pack-${counter}`,
    releaseCounter: counter,
    files: [...blobs].map(([name, bytes]) => ({
      name,
      sha256: sha256(bytes),
      bytes: bytes.byteLength,
    })),
    detector: { file: "detector.onnx", layout: "yunet", input: "input", preprocessing },
    embedder: {
      file: "embedder.onnx",
      input: "input",
      output: "output",
      preprocessing,
      align: "arcface-112",
      dimension: 16,
      spaceId,
    },
    golden: {
      vectors: [{ cropPng: "", embedding: Array.from({ length: 16 }, () => 0.25) }],
      cosineMin: { cpu: 0.99, cuda: 0.99, tensorrt: 0.99 },
    },
    provenance: { source: "made by the tests", licence: "ours" },
  });
  const manifest = Buffer.from(`${JSON.stringify(pack, null, 2)}\n`);
  const { id, releaseCounter, embedder: spec } = pack;
  const name = { id, sha256: sha256(manifest), releaseCounter, spaceId: spec.spaceId };
  return { name, pack, manifest, blobs };
}

/** Writes a pack as `models/` holds one. */
export function writePack(directory: string, { manifest, blobs }: TinyPack): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, "pack.json"), manifest);
  for (const [name, bytes] of blobs) writeFileSync(join(directory, name), bytes);
  return directory;
}

export class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "ostiary-update-"));

  at(...names: readonly string[]): string {
    return join(this.path, ...names);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
