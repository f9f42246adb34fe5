/** Which models the demo runs: a given pack, the bundled one, or one imported from the files of $OSTIARY_SHARED. */
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";
import { refused } from "../../src/cli/exit.ts";
import { bundledPacks, readPack } from "../../src/cli/models-list.ts";
import type { Children } from "./processes.ts";

export interface DemoPack {
  readonly directory: string;
  readonly id: string;
  readonly calibrated: boolean;
  readonly demoOnly: boolean;
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
  const bundled = (await bundledPacks())[0];
  if (bundled !== undefined) return described(bundled.directory, "bundled in models/");
  return described(
    await importedPack(where, children),
    "no pack is bundled yet: imported from $OSTIARY_SHARED, third-party weights, not for a door",
  );
}

async function described(directory: string, origin: string): Promise<DemoPack> {
  const pack = await readPack(directory);
  if (pack === undefined) throw refused("not_found", `there is no pack.json in ${directory}`);
  const { id, demoOnly } = pack;
  return { directory, id, calibrated: pack.calibration !== undefined, demoOnly, origin };
}

async function importedPack(where: Where, children: Children): Promise<string> {
  const models = join(resolve(where.shared ?? join(where.root, "../shared")), "data/models");
  const detector = join(models, "face_detection_yunet_2023mar.onnx");
  const embedder = join(models, "face-reidentification-retail-0095.onnx");
  for (const file of [detector, embedder]) {
    if (
      await access(file).then(
        () => false,
        () => true,
      )
    ) {
      throw refused(
        "no_models",
        `the demo needs models: no pack is bundled in models/ and ${file} does not exist; set OSTIARY_SHARED, or give --pack`,
      );
    }
  }
  const out = join(where.scratch, "demo-pack");
  const files = [
    "--detector",
    detector,
    "--embedder",
    embedder,
    "--preset",
    "retail-0095",
    "--out",
    out,
  ];
  const child = children.start(join(where.root, "scripts/ostiary"), ["models", "import", ...files]);
  if ((await child.ended) !== 0)
    throw refused("import_failed", `models import failed: ${child.output()}`);
  return out;
}
