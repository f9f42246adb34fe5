/** `sign`: adds the signatures that this machine's keys can give to the drafts. */
import { Fault } from "../../src/lib/fault.ts";
import {
  type Drafts,
  effectiveRoot,
  type Published,
  readDrafts,
  readPublished,
  writeDraft,
} from "./published.ts";
import {
  type AnyMetadata,
  addSignature,
  type Count,
  countSignatures,
  newRoot,
  newTargets,
  publicKeysOf,
  type RootMetadata,
  roleKeysOf,
} from "./roles.ts";
import { isReachable, type Means, signerNamed, type Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

export interface DraftState {
  readonly role: "root" | "targets";
  readonly version: number;
  readonly expires: string;
  /** One count per root that must agree: for a root, the one before and itself. */
  readonly counts: readonly Count[];
  readonly isComplete: boolean;
  /** Names of keys that have not signed and could. */
  readonly missing: readonly string[];
  readonly signedNow: readonly string[];
}

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

function draftsOf(drafts: Drafts): readonly (readonly ["root" | "targets", AnyMetadata])[] {
  return [
    ...(drafts.root === undefined ? [] : [["root", drafts.root] as const]),
    ...(drafts.targets === undefined ? [] : [["targets", drafts.targets] as const]),
  ];
}

/** The roots whose keys must have signed: a new root is vouched for by the one before it and by itself. */
export function judgesOf(
  role: "root" | "targets",
  published: Published | undefined,
  drafts: Drafts,
): readonly RootMetadata[] {
  const next = effectiveRoot(published, drafts);
  return role === "root" && published !== undefined && drafts.root !== undefined
    ? [published.root, next]
    : [next];
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

/** How far the drafts are. */
export function draftStates(
  workspace: Workspace,
  published: Published | undefined,
  drafts: Drafts,
  signedNow: ReadonlyMap<string, readonly string[]> = new Map(),
): readonly DraftState[] {
  return draftsOf(drafts).map(([role, metadata]) => {
    const judges = judgesOf(role, published, drafts);
    const counts = judges.map((root) => countSignatures(root, role, metadata));
    const missing = new Set(
      judges.flatMap((root, index) =>
        (counts[index]?.missing ?? []).map((id) => {
          const hex = root.signed.keys[id]?.keyVal["public"] ?? "";
          return workspace.nameOf(Buffer.from(hex, "hex").toString("base64")) ?? id.slice(0, 8);
        }),
      ),
    );
    return {
      role,
      version: metadata.signed.version,
      expires: metadata.signed.expires,
      counts,
      isComplete: counts.every(({ have, threshold }) => have >= threshold),
      missing: [...missing],
      signedNow: signedNow.get(role) ?? [],
    };
  });
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

/** JSON of the listed targets, by path. */
export function targetsJsonOf(metadata: { readonly signed: { toJSON(): object } }) {
  const json = metadata.signed.toJSON() as { targets?: Parameters<typeof newTargets>[1] };
  return json.targets ?? {};
}
