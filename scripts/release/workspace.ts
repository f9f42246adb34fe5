/**
 * A release workspace: settings, keys, what is being prepared, and the repository that is served.
 *
 *     release.yaml       how it signs
 *     fleet.yaml         devices and rings
 *     director.pub       what devices are given beside the root
 *     state.json         numbers of desired states, rollouts
 *     keys/              encrypted private keys, or nothing where they live elsewhere
 *     next/              drafts: root.json, targets.json with the signatures so far, new targets and blobs
 *     staging/           the whole repository as it will be, while it is verified
 *     repository/        what is served; see src/release/repository.ts
 */
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { EpochMs } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import { exists } from "./files.ts";
import { openSigner, type Passphrases, type Sign } from "./keys.ts";
import { readYaml, Settings } from "./settings.ts";

export class Workspace {
  readonly directory: string;
  readonly settings: Settings;

  constructor(directory: string, settings: Settings) {
    this.directory = directory;
    this.settings = settings;
  }

  /** @throws Fault `config_missing`, `config_invalid` */
  static async open(directory: string): Promise<Workspace> {
    const settings = await readYaml(
      join(directory, "release.yaml"),
      Settings,
      "make a workspace with ostiary-release init, or name it with --dir",
    );
    return new Workspace(resolve(directory), settings);
  }

  get repository(): string {
    return resolve(this.directory, this.settings.repository);
  }

  get next(): string {
    return join(this.directory, "next");
  }

  get staging(): string {
    return join(this.directory, "staging");
  }

  at(...names: readonly string[]): string {
    return join(this.directory, ...names);
  }

  /** Name of the key with that public half. */
  nameOf(publicKey: string): string | undefined {
    return Object.entries(this.settings.keys).find(
      ([, entry]) => entry.publicKey === publicKey,
    )?.[0];
  }
}

/** What a command has besides the workspace. */
export interface Means {
  readonly now: () => EpochMs;
  readonly passphrases: Passphrases;
  /** Where private halves lie now, by name, when not where release.yaml says. */
  readonly keyFiles: ReadonlyMap<string, string>;
}

function pathOf(workspace: Workspace, name: string, means: Means): string | undefined {
  const given = means.keyFiles.get(name);
  if (given !== undefined) return resolve(given);
  const { file } = workspace.settings.keys[name] ?? {};
  return file === undefined ? undefined : resolve(workspace.directory, file);
}

/** Whether this machine can sign with that key now. */
export async function isReachable(
  workspace: Workspace,
  name: string,
  means: Means,
): Promise<boolean> {
  const entry = workspace.settings.keys[name];
  if (entry === undefined) return false;
  const path = pathOf(workspace, name, means);
  return path === undefined ? entry.command !== undefined : await exists(path);
}

/** @throws Fault `key_unknown` and those of {@link openSigner} */
export async function signerNamed(
  workspace: Workspace,
  name: string,
  means: Means,
): Promise<{ readonly publicKey: string; readonly sign: Sign }> {
  const entry = workspace.settings.keys[name];
  if (entry === undefined)
    throw new Fault("key_unknown", `release.yaml knows no key "${name}": see its keys`);
  const sign = await openSigner(name, entry, pathOf(workspace, name, means), means.passphrases);
  return { publicKey: entry.publicKey, sign };
}

/**
 * One command at a time changes a workspace. The lock is the kernel's and goes with the process.
 *
 * @throws Fault `workspace_locked`
 */
export async function lock(workspace: Workspace): Promise<Disposable> {
  await mkdir(workspace.directory, { recursive: true });
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(workspace.at(".lock"), { timeout: 0 });
    database.exec("PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE");
  } catch (cause) {
    database?.close();
    throw new Fault(
      "workspace_locked",
      `another ostiary-release works in ${workspace.directory}: wait for it`,
      { cause },
    );
  }
  const held = database;
  return {
    [Symbol.dispose]: () => {
      if (held.isOpen) held.close();
    },
  };
}
