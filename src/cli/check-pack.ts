/** Is there a pack, is it whole, may it open a door? */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packUseOf } from "../config/pack-use.ts";
import type { Config } from "../config/schema.ts";
import { codeOf } from "../lib/fault.ts";
import type { Finding } from "./check.ts";
import { bundledPacks, readPack } from "./models-list.ts";

/** The directory that a configuration means: its own, else the newest bundled pack. */
export async function packDirectoryOf(config: Config): Promise<string | undefined> {
  return config.paths.pack ?? (await bundledPacks())[0]?.directory;
}

export async function checkPack(config: Config): Promise<readonly Finding[]> {
  const directory = await packDirectoryOf(config);
  const what = "pack";
  if (directory === undefined) {
    return [
      {
        state: "fail",
        what,
        text: "no pack is configured and none is bundled",
        fix: "ostiary models import …, then set paths.pack",
      },
    ];
  }
  const pack = await readPack(directory);
  if (pack === undefined) {
    return [
      {
        state: "fail",
        what,
        text: `${directory} holds no pack.json that this version understands`,
        fix: "set paths.pack to a pack's directory",
      },
    ];
  }
  for (const file of pack.files) {
    const problem = await problemOf(join(directory, file.name), file.sha256);
    if (problem !== undefined)
      return [
        {
          state: "fail",
          what,
          text: `${pack.id}: ${file.name} ${problem}`,
          fix: "get the pack again",
        },
      ];
  }
  const findings: Finding[] = [
    { state: "ok", what, text: `${pack.id}, space ${pack.embedder.spaceId}` },
  ];
  const use = packUseOf(pack, config);
  if (use.warning !== undefined)
    findings.push(demoOnlyFinding(use.warning, use.opensDoors, config));
  if (pack.calibration === undefined && config.match.cosineMin === undefined) {
    findings.push({
      state: "fail",
      what,
      text: `${pack.id} has no calibration: every decision is a denial`,
      fix: "ostiary evaluate calibration, or set match.cosineMin",
    });
  }
  return findings;
}

/** Nobody gets through the doors that there are: that is broken until somebody decides. */
function demoOnlyFinding(text: string, opensDoors: boolean, { access }: Config): Finding {
  return opensDoors || access.doors.length === 0
    ? { state: "warn", what: "pack", text }
    : {
        state: "fail",
        what: "pack",
        text,
        fix: "set paths.pack to a pack for doors, or insecure.demoOnlyPack: true for a demonstration",
      };
}

async function problemOf(path: string, sha256: string): Promise<string | undefined> {
  try {
    const actual = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    return actual === sha256 ? undefined : "is not the file that the pack names (checksum)";
  } catch (fault) {
    return `cannot be read (${codeOf(fault)})`;
  }
}
