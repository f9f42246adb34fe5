/** `models list`: the packs that came with this version, and what `models import` knows. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Pack } from "../embedding/pack.ts";
import { DETECTOR_PRESETS, EMBEDDER_PRESETS } from "../embedding/presets.ts";
import type { Action } from "./command.ts";
import { EXIT } from "./exit.ts";
import { printJson, tableOf } from "./terminal.ts";

const MODELS = fileURLToPath(new URL("../../models", import.meta.url));

export interface PackEntry {
  readonly directory: string;
  readonly pack: Pack;
}

/** Packs below a directory, the newest release first. Unreadable ones are left out. */
export async function packsIn(directory: string): Promise<readonly PackEntry[]> {
  const found: PackEntry[] = [];
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isDirectory()) continue;
    const path = join(directory, entry.name);
    const pack = await readPack(path);
    if (pack !== undefined) found.push({ directory: path, pack });
  }
  return found.sort((a, b) => b.pack.releaseCounter - a.pack.releaseCounter);
}

export const bundledPacks = (): Promise<readonly PackEntry[]> => packsIn(MODELS);

/** @returns undefined when there is no pack.json that this version understands */
export async function readPack(directory: string): Promise<Pack | undefined> {
  try {
    const parsed = Pack.safeParse(JSON.parse(await readFile(join(directory, "pack.json"), "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

export const modelsList: Action = async ({ args, terminal }) => {
  const packs = (await bundledPacks()).map(({ directory, pack }) => ({
    id: pack.id,
    directory,
    spaceId: pack.embedder.spaceId,
    releaseCounter: pack.releaseCounter,
    calibrated: pack.calibration !== undefined,
    demoOnly: pack.demoOnly,
  }));
  const presets = [...DETECTOR_PRESETS, ...EMBEDDER_PRESETS].map(
    ({ kind, name, sha256, source, licence }) => ({ kind, name, sha256, source, licence }),
  );
  if (args.flag("json")) {
    printJson(terminal, { schema: 1, packs, presets });
    return EXIT.ok;
  }
  if (packs.length === 0) terminal.out("No pack is bundled.\n");
  else
    terminal.out(
      tableOf(
        ["PACK", "SPACE", "CALIBRATED", "USE"],
        packs.map((pack) => [
          pack.id,
          pack.spaceId,
          pack.calibrated ? "yes" : "no",
          pack.demoOnly ? "demo" : "door",
        ]),
      ),
    );
  terminal.out(
    `\n${tableOf(
      ["PRESET", "KIND", "SHA256", "SOURCE"],
      presets.map((preset) => [
        preset.name,
        preset.kind,
        preset.sha256.slice(0, 12),
        preset.source,
      ]),
    )}`,
  );
  return EXIT.ok;
};
