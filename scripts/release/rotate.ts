/** `rotate-key`: another key in a role. Devices follow from root to root, each vouched for by the one before. */
import { join, resolve } from "node:path";
import { Fault } from "../../src/lib/fault.ts";
import { publicKeyFrom } from "../../src/mqtt/envelope.ts";
import { writeDirectors } from "./init.ts";
import { makeKeyFile } from "./keys.ts";
import { readDrafts, readPublished, writeDraft } from "./published.ts";
import { newRoot, ROLES, type RoleName, roleKeysOf } from "./roles.ts";
import { type KeyEntry, setInYaml } from "./settings.ts";
import { type Means, Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

export interface Rotation {
  /** Key that goes. */
  readonly name: string;
  /** Key that comes. */
  readonly replacement: string;
  /** One that exists already; a new file when absent. */
  readonly external: KeyEntry | undefined;
  readonly keysDirectory: string | undefined;
  readonly cost?: Parameters<typeof makeKeyFile>[2];
}

export interface Rotated {
  readonly publicKey: string;
  /** Roles whose next root has the new key; empty for the director. */
  readonly roles: readonly RoleName[];
}

/** @throws Fault `key_unknown`, `key_exists`, `nothing_published` */
export async function rotateKey(
  workspace: Workspace,
  rotation: Rotation,
  means: Means,
): Promise<Rotated> {
  const { keys, director } = workspace.settings;
  const old = keys[rotation.name];
  if (old === undefined)
    throw new Fault("key_unknown", `release.yaml knows no key "${rotation.name}": see its keys`);
  if (keys[rotation.replacement] !== undefined)
    throw new Fault(
      "key_exists",
      `release.yaml has a key "${rotation.replacement}" already: choose another name`,
    );
  const published = await readPublished(workspace.repository);
  if (published === undefined)
    throw new Fault(
      "nothing_published",
      "nothing was published yet: remove the workspace and begin again",
    );
  const drafts = await readDrafts(workspace);
  const roles = roleKeysOf(drafts.root ?? published.root);
  const concerned = ROLES.filter((role) => roles[role].publicKeys.includes(old.publicKey));
  if (concerned.length === 0 && rotation.name !== director)
    throw new Fault("key_unknown", `no role has the key "${rotation.name}" any more`);
  const entry = rotation.external ?? (await newKey(workspace, rotation, means));
  publicKeyFrom(entry.publicKey);
  const replaced = (role: RoleName) => ({
    ...roles[role],
    publicKeys: roles[role].publicKeys.map((key) =>
      key === old.publicKey ? entry.publicKey : key,
    ),
  });
  if (concerned.length > 0) {
    const life = {
      version: published.root.signed.version + 1,
      expiresMs: means.now() + workspace.settings.expiry.rootDays * DAY_MS,
    };
    const root = newRoot(life, {
      root: replaced("root"),
      targets: replaced("targets"),
      snapshot: replaced("snapshot"),
      timestamp: replaced("timestamp"),
    });
    await writeDraft(workspace, "root", root);
  }
  // The old entry stays: its key still has to sign the next root.
  await setInYaml(workspace.at("release.yaml"), [
    [["keys", rotation.replacement], entry],
    ...(rotation.name === director ? [[["director"], rotation.replacement] as const] : []),
  ]);
  if (rotation.name === director) {
    const changed = await Workspace.open(workspace.directory);
    await writeDirectors(changed, [rotation.name, rotation.replacement]);
  }
  return { publicKey: entry.publicKey, roles: concerned };
}

async function newKey(
  workspace: Workspace,
  { replacement, keysDirectory, cost }: Rotation,
  means: Means,
): Promise<KeyEntry> {
  const file =
    keysDirectory === undefined
      ? join("keys", `${replacement}.pem`)
      : resolve(keysDirectory, `${replacement}.pem`);
  const passphrase = await means.passphrases(replacement, true);
  const publicKey = await makeKeyFile(resolve(workspace.directory, file), passphrase, cost);
  return { publicKey, file };
}
