/** `init`: keys, settings, and the drafts of the first root and of an empty list of packs. */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { stringify } from "yaml";
import type { z } from "zod";
import { Fault } from "../../src/lib/fault.ts";
import { publicKeyFrom } from "../../src/mqtt/envelope.ts";
import { exists, writeDurably } from "./files.ts";
import { makeKeyFile } from "./keys.ts";
import { writeDraft } from "./published.ts";
import { newRoot, newTargets, type RoleName } from "./roles.ts";
import { type KeyEntry, Settings } from "./settings.ts";
import { type Means, Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

/** Names of keys by role, and how many of them must sign. */
interface Custody {
  readonly roles: Readonly<
    Record<RoleName, { readonly threshold: number; readonly keys: readonly string[] }>
  >;
  readonly director: string;
}

/** No single stolen key changes what devices run: root and targets need two people. */
const SHARED: Custody = {
  roles: {
    root: { threshold: 2, keys: ["root-1", "root-2", "root-3"] },
    targets: { threshold: 2, keys: ["targets-1", "targets-2"] },
    snapshot: { threshold: 1, keys: ["online"] },
    timestamp: { threshold: 1, keys: ["online"] },
  },
  director: "director",
};

/** One person signs: still two keys, since what is genuine and what is wanted stay apart. */
const SINGLE: Custody = {
  roles: {
    root: { threshold: 1, keys: ["release"] },
    targets: { threshold: 1, keys: ["release"] },
    snapshot: { threshold: 1, keys: ["online"] },
    timestamp: { threshold: 1, keys: ["online"] },
  },
  director: "director",
};

export interface InitOptions {
  readonly directory: string;
  readonly singleKey: boolean;
  /** Directory for new private keys; inside the workspace when absent. */
  readonly keysDirectory: string | undefined;
  /** Keys that exist already elsewhere, by name. */
  readonly external: ReadonlyMap<string, KeyEntry>;
  readonly expiry?: z.input<typeof Settings>["expiry"];
  /** Of the derivation of file keys; for tests. */
  readonly cost?: Parameters<typeof makeKeyFile>[2];
}

/** @throws Fault `workspace_exists`, `key_exists`, `key_unknown` */
export async function initialise(options: InitOptions, means: Means): Promise<Workspace> {
  const directory = resolve(options.directory);
  const file = join(directory, "release.yaml");
  if (await exists(file))
    throw new Fault("workspace_exists", `${file} exists already: this is a workspace`);
  const custody = options.singleKey ? SINGLE : SHARED;
  const names = new Set([
    ...Object.values(custody.roles).flatMap(({ keys }) => keys),
    custody.director,
  ]);
  const stranger = [...options.external.keys()].find((name) => !names.has(name));
  if (stranger !== undefined)
    throw new Fault(
      "key_unknown",
      `no role has a key "${stranger}": there are ${[...names].join(", ")}`,
    );
  await mkdir(directory, { recursive: true });
  const keys: Record<string, KeyEntry> = {};
  for (const name of names)
    keys[name] = options.external.get(name) ?? (await newKey(directory, name, options, means));
  const settings = Settings.parse({
    schema: 1,
    director: custody.director,
    keys,
    ...(options.expiry === undefined ? {} : { expiry: options.expiry }),
  });
  const workspace = new Workspace(directory, settings);
  await draftFirst(workspace, custody, means);
  await writeDirectors(workspace, [custody.director]);
  // Last: without it there is no workspace, and init can begin again.
  await writeDurably(file, stringify(settings));
  return workspace;
}

/** What devices are given beside the root: public keys of directors, one a line, the newest last. */
export async function writeDirectors(
  workspace: Workspace,
  names: readonly string[],
): Promise<string> {
  const file = workspace.at("director.pub");
  const keys = names.map((name) => `${workspace.settings.keys[name]?.publicKey}\n`);
  await writeDurably(file, keys.join(""));
  return file;
}

async function newKey(
  directory: string,
  name: string,
  { keysDirectory, cost }: Pick<InitOptions, "keysDirectory" | "cost">,
  means: Means,
): Promise<KeyEntry> {
  const file =
    keysDirectory === undefined
      ? join("keys", `${name}.pem`)
      : resolve(keysDirectory, `${name}.pem`);
  const passphrase = await means.passphrases(name, true);
  const publicKey = await makeKeyFile(resolve(directory, file), passphrase, cost);
  return { publicKey, file };
}

async function draftFirst(workspace: Workspace, custody: Custody, means: Means): Promise<void> {
  const { keys, expiry } = workspace.settings;
  const of = (role: RoleName) => ({
    threshold: custody.roles[role].threshold,
    publicKeys: custody.roles[role].keys.map((name) => {
      const { publicKey = "" } = keys[name] ?? {};
      publicKeyFrom(publicKey);
      return publicKey;
    }),
  });
  const roles = {
    root: of("root"),
    targets: of("targets"),
    snapshot: of("snapshot"),
    timestamp: of("timestamp"),
  };
  const now = means.now();
  await writeDraft(
    workspace,
    "root",
    newRoot({ version: 1, expiresMs: now + expiry.rootDays * DAY_MS }, roles),
  );
  await writeDraft(
    workspace,
    "targets",
    newTargets({ version: 1, expiresMs: now + expiry.targetsDays * DAY_MS }, {}),
  );
}
