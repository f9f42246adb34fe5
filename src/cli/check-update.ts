/** Are updates set up so that one could come? Nothing is said where there are none. */
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { checkRoot, readDirectors } from "../config/trust.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import { addressOf } from "../mqtt/options.ts";
import { createClock } from "../system/clock.ts";
import { Packs } from "../update/packs.ts";
import { Releases } from "../update/tuf/releases.ts";
import type { Finding } from "./check.ts";
import { packDirectoryOf } from "./check-pack.ts";
import { QUIET } from "./store-of.ts";

const what = "updates";
const fix = "sudo scripts/install.sh --trust ROOT DIRECTOR";

export async function checkUpdate(config: Config): Promise<readonly Finding[]> {
  const { update, paths } = config;
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
  return [...findings, await activePack(join(paths.state, "packs"), await packDirectoryOf(config))];
}

/** What the links say, byte for byte. The daemon itself goes by its journal, and mends the links. */
async function activePack(directory: string, factory: string | undefined): Promise<Finding> {
  const sha256 = await readlink(join(directory, "active")).catch(() => undefined);
  if (sha256 === undefined || factory === undefined)
    return { state: "ok", what, text: "the factory pack serves" };
  const packs = await Packs.open({ directory, factory });
  const pack = packs.read({ sha256 });
  return pack === undefined
    ? {
        state: "fail",
        what,
        text: `the active pack ${sha256.slice(0, 12)} is missing or damaged: the next start serves the one before it`,
        fix: "check the disk; the pack comes again when it is still wanted",
      }
    : { state: "ok", what, text: `${pack.pack.id} serves, release ${pack.pack.releaseCounter}` };
}

/** Does the repository answer? An update that cannot come closes no door. */
export async function checkRepository(
  { update, mqtt, paths }: Config,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  if (update === undefined) return [];
  const { url } = update.repository;
  const releases = new Releases(
    {
      repository: { ...update.repository, attempts: 1 },
      pinnedRoot: update.trust.root,
      stateDirectory: join(paths.state, "tuf"),
      runtime: { hardware: process.arch, version: "0" },
    },
    { clock: createClock(), log: QUIET },
  );
  try {
    const desired = await releases.fetchDesired(addressOf(mqtt), signal);
    const found = desired === undefined ? "holds no desired state for this device" : "answers";
    return [{ state: "ok", what, text: `${url} ${found}` }];
  } catch (fault) {
    return [
      {
        state: "warn",
        what,
        text: `${messageOf(fault)} (${codeOf(fault)})`,
        fix: "see the update section; a server outside private ranges needs systemd/drop-ins/anywhere.conf",
      },
    ];
  }
}

async function tried(look: () => Promise<string>): Promise<Finding> {
  try {
    return { state: "ok", what, text: await look() };
  } catch (fault) {
    return { state: "fail", what, text: `${messageOf(fault)} (${codeOf(fault)})`, fix };
  }
}
