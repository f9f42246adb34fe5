/** Which models the demo runs: a given pack, else the bundled one. */
import { resolve } from "node:path";
import { refused } from "../../src/cli/exit.ts";
import { bundledPacks, readPack } from "../../src/cli/models-list.ts";

export interface DemoPack {
  readonly directory: string;
  readonly id: string;
  readonly calibrated: boolean;
  readonly demoOnly: boolean;
  /** In words, for the screen. */
  readonly origin: string;
}

export async function findPack(given: string | undefined): Promise<DemoPack> {
  if (given !== undefined) return described(resolve(given), "given by --pack");
  const bundled = (await bundledPacks())[0];
  if (bundled === undefined)
    throw refused("no_pack", "models/ holds no pack: get the checkout again, or give --pack");
  return described(bundled.directory, "bundled in models/");
}

async function described(directory: string, origin: string): Promise<DemoPack> {
  const pack = await readPack(directory);
  if (pack === undefined) throw refused("not_found", `there is no pack.json in ${directory}`);
  const { id, demoOnly } = pack;
  return { directory, id, calibrated: pack.calibration !== undefined, demoOnly, origin };
}
