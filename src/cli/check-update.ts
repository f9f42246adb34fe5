/** Are updates set up so that one could come? Nothing is said where there are none. */
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { checkRoot, readDirectors } from "../config/trust.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Finding } from "./check.ts";

const what = "updates";
const fix = "sudo scripts/install.sh --trust ROOT DIRECTOR";

export async function checkUpdate({ update, paths }: Config): Promise<readonly Finding[]> {
  if (update === undefined) return [];
  const findings = [
    await tried(async () => {
      const { version, expires } = await checkRoot(update.trust);
      return `root ${version}, good until ${expires}`;
    }),
    await tried(async () => {
      await readDirectors(update.trust);
      return `director's key in ${update.trust.director}`;
    }),
  ];
  const active = await readlink(join(paths.state, "packs", "active")).catch(() => undefined);
  const pack = active === undefined ? "the factory pack serves" : `${active.slice(0, 12)}… serves`;
  return [...findings, { state: "ok", what, text: `${update.repository.url}; ${pack}` }];
}

async function tried(look: () => Promise<string>): Promise<Finding> {
  try {
    return { state: "ok", what, text: await look() };
  } catch (fault) {
    return { state: "fail", what, text: `${messageOf(fault)} (${codeOf(fault)})`, fix };
  }
}
