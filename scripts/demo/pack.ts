/** Which models the demo runs: a given pack, the bundled one, or one imported from the files of $OSTIARY_SHARED. */
import { access, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { refused } from "../../src/cli/exit.ts";
import { Pack } from "../../src/embedding/pack.ts";
import type { Children } from "./processes.ts";

export interface DemoPack {
  readonly directory: string;
  readonly id: string;
  readonly calibrated: boolean;
  /** In words, for the screen. */
  readonly origin: string;
}

interface Where {
  readonly root: string;
  readonly given: string | undefined;
  readonly shared: string | undefined;
  readonly scratch: string;
}

export async function findPack(where: Where, children: Children): Promise<DemoPack> {
  if (where.given !== undefined) return described(resolve(where.given), "given by --pack");
  const bundled = await bundledPack(join(where.root, "models"));
  if (bundled !== undefined) return described(bundled, "bundled in models/");
  return described(await importedPack(where, children), "no pack is bundled yet: imported from $OSTIARY_SHARED, third-party weights, not for a door");
}

/** @returns the directory of the bundled pack with the highest release counter */
export async function bundledPack(models: string): Promise<string | undefined> {
  const found: { readonly directory: string; readonly counter: number }[] = [];
  for (const entry of await readdir(models, { withFileTypes: true }).catch(() => [])) {
    const directory = join(models, entry.name);
    const pack = entry.isDirectory() ? await readPack(directory) : undefined;
    if (pack !== undefined) found.push({ directory, counter: pack.releaseCounter });
  }
  return found.sort((a, b) => b.counter - a.counter)[0]?.directory;
}

async function readPack(directory: string): Promise<Pack | undefined> {
  const text = await readFile(join(directory, "pack.json"), "utf8").catch(() => undefined);
  return text === undefined ? undefined : Pack.parse(JSON.parse(text));
}

async function described(directory: string, origin: string): Promise<DemoPack> {
  const pack = await readPack(directory);
  if (pack === undefined) throw refused("not_found", `there is no pack.json in ${directory}`);
  return { directory, id: pack.id, calibrated: pack.calibration !== undefined, origin };
}

async function importedPack(where: Where, children: Children): Promise<string> {
  const models = join(resolve(where.shared ?? join(where.root, "../shared")), "data/models");
  const detector = join(models, "face_detection_yunet_2023mar.onnx");
  const embedder = join(models, "face-reidentification-retail-0095.onnx");
  for (const file of [detector, embedder]) {
    if (await access(file).then(() => false, () => true)) {
      throw refused("no_models", `the demo needs models: no pack is bundled in models/ and ${file} does not exist; set OSTIARY_SHARED, or give --pack`);
    }
  }
  const out = join(where.scratch, "pack");
  const files = ["--detector", detector, "--embedder", embedder, "--preset", "retail-0095", "--out", out];
  const child = children.start(join(where.root, "scripts/ostiary"), ["models", "import", ...files]);
  if ((await child.ended) !== 0) throw refused("import_failed", `models import failed: ${child.output()}`);
  return out;
}
