/** `sign`: adds the signatures that this machine's keys can give to the drafts. */
import { Fault } from "../../src/lib/fault.ts";
import { type DraftState, draftStates, draftsOf, judgesOf } from "./drafts.ts";
import { targetsJsonOf } from "./listing.ts";
import { readDrafts, readPublished, writeDraft } from "./published.ts";
import {
  type AnyMetadata,
  addSignature,
  countSignatures,
  newRoot,
  newTargets,
  publicKeysOf,
  type RootMetadata,
  roleKeysOf,
} from "./roles.ts";
import { isReachable, type Means, signerNamed, type Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

/**
 * @param only names of keys; empty: every key that is needed and reachable here
 * @throws Fault `nothing_to_sign`, `key_not_needed` and those of signing
 */
export async function signDrafts(
  workspace: Workspace,
  only: readonly string[],
  means: Means,
): Promise<readonly DraftState[]> {
  const published = await readPublished(workspace.repository);
  const drafts = await readDrafts(workspace);
  const entries = draftsOf(drafts);
  if (entries.length === 0)
    throw new Fault(
      "nothing_to_sign",
      "there is no draft: add a pack, rotate a key, or sign --renew ROLE",
    );
  const signedNow = new Map<string, string[]>(entries.map(([role]) => [role, []]));
  for (const name of await candidates(workspace, only, means)) {
    const { publicKey = "" } = workspace.settings.keys[name] ?? {};
    const wanted = entries.filter(([role, metadata]) =>
      judgesOf(role, published, drafts).some((root) =>
        isNeeded(root, role, metadata, publicKey, only.length > 0),
      ),
    );
    const isKnown = entries.some(([role]) =>
      judgesOf(role, published, drafts).some((root) =>
        publicKeysOf(root, role).includes(publicKey),
      ),
    );
    if (wanted.length === 0) {
      if (only.includes(name) && !isKnown)
        throw new Fault("key_not_needed", `no draft is to be signed by ${name}`);
      continue;
    }
    const signer = await signerNamed(workspace, name, means);
    for (const [role, metadata] of wanted) {
      addSignature(metadata, publicKey, signer.sign);
      await writeDraft(workspace, role, metadata);
      signedNow.get(role)?.push(name);
    }
  }
  return draftStates(workspace, published, drafts, signedNow);
}

async function candidates(
  workspace: Workspace,
  only: readonly string[],
  means: Means,
): Promise<readonly string[]> {
  if (only.length > 0) return only;
  const names = Object.keys(workspace.settings.keys);
  const reachable = await Promise.all(names.map((name) => isReachable(workspace, name, means)));
  return names.filter((_, index) => reachable[index]);
}

/** @param isNamed the key was asked for by name: then also beyond the threshold */
function isNeeded(
  root: RootMetadata,
  role: "root" | "targets",
  metadata: AnyMetadata,
  publicKey: string,
  isNamed: boolean,
): boolean {
  const { missing, have, threshold } = countSignatures(root, role, metadata);
  if (have >= threshold && !isNamed) return false;
  return missing.some(
    (id) =>
      root.signed.keys[id]?.keyVal["public"] === Buffer.from(publicKey, "base64").toString("hex"),
  );
}

/** Drafts the same content again with a new date. */
export async function renew(
  workspace: Workspace,
  role: "root" | "targets",
  means: Means,
): Promise<void> {
  const published = await readPublished(workspace.repository);
  if (published === undefined)
    throw new Fault("nothing_published", "nothing was published yet: there is nothing to renew");
  const drafts = await readDrafts(workspace);
  const { expiry } = workspace.settings;
  const now = means.now();
  if (role === "root") {
    const life = {
      version: published.root.signed.version + 1,
      expiresMs: now + expiry.rootDays * DAY_MS,
    };
    await writeDraft(workspace, "root", newRoot(life, roleKeysOf(drafts.root ?? published.root)));
    return;
  }
  const life = {
    version: published.targets.signed.version + 1,
    expiresMs: now + expiry.targetsDays * DAY_MS,
  };
  await writeDraft(
    workspace,
    "targets",
    newTargets(life, targetsJsonOf(drafts.targets ?? published.targets)),
  );
}
