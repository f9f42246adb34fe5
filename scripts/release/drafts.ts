/** Drafts as those who sign them must see them: what changes, who has signed, who is missing. */
import { listedIn } from "./listing.ts";
import { type Drafts, effectiveRoot, type Published } from "./published.ts";
import {
  type AnyMetadata,
  type Count,
  countSignatures,
  publicKeysOf,
  ROLES,
  type RootMetadata,
} from "./roles.ts";
import type { Workspace } from "./workspace.ts";

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
  /** What is different from what is published, in words: read it before you sign. */
  readonly changes: readonly string[];
}

export function draftsOf(drafts: Drafts): readonly (readonly ["root" | "targets", AnyMetadata])[] {
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
      changes:
        role === "targets"
          ? listChanges(published, drafts)
          : rootChanges(workspace, published, drafts),
    };
  });
}

function listChanges(published: Published | undefined, drafts: Drafts): readonly string[] {
  const listed = (metadata: Drafts["targets"]) =>
    new Map(metadata === undefined ? [] : listedIn(metadata).map((each) => [each.path, each]));
  const [before, after] = [listed(published?.targets), listed(drafts.targets)];
  const added = [...after.values()].filter(
    ({ path, sha256 }) => before.get(path)?.sha256 !== sha256,
  );
  const removed = [...before.values()].filter(({ path }) => !after.has(path));
  return [
    ...added.map(
      ({ path, sha256, custom }) =>
        `${before.has(path) ? "replaces" : "adds"} ${custom.packId}, counter ${custom.releaseCounter}, ${sha256}`,
    ),
    ...removed.map(({ custom }) => `removes ${custom.packId}`),
  ];
}

function rootChanges(
  workspace: Workspace,
  published: Published | undefined,
  drafts: Drafts,
): readonly string[] {
  const next = effectiveRoot(published, drafts);
  const name = (key: string): string => workspace.nameOf(key) ?? key;
  return ROLES.flatMap((role) => {
    const before = published === undefined ? [] : publicKeysOf(published.root, role);
    const after = publicKeysOf(next, role);
    const added = after.filter((key) => !before.includes(key)).map((key) => `+${name(key)}`);
    const removed = before.filter((key) => !after.includes(key)).map((key) => `-${name(key)}`);
    const changed = [...added, ...removed];
    return changed.length === 0 ? [] : [`${role}: ${changed.join(" ")}`];
  });
}
