/** What a list of packs says: the custom fields that devices read, and the names of files. */
import { Fault } from "../../src/lib/fault.ts";
import { TargetCustom } from "../../src/release/repository.ts";
import type { newTargets } from "./roles.ts";

export interface Listed {
  readonly path: string;
  readonly sha256: string;
  readonly length: number;
  readonly custom: TargetCustom;
}

/** The packs that a targets metadata lists. @throws Fault `draft_damaged` when it holds something else */
export function listedIn(metadata: Parameters<typeof targetsJsonOf>[0]): readonly Listed[] {
  return Object.entries(targetsJsonOf(metadata)).map(([path, value]) => {
    const json = value as { length: number; hashes: Record<string, string>; custom?: unknown };
    const custom = TargetCustom.safeParse(json.custom);
    const sha256 = json.hashes["sha256"];
    if (!custom.success || sha256 === undefined)
      throw new Fault(
        "draft_damaged",
        `${path} is listed in a way that this version does not know`,
      );
    return { path, sha256, length: json.length, custom: custom.data };
  });
}

/** JSON of the listed targets, by path. */
export function targetsJsonOf(metadata: { readonly signed: { toJSON(): object } }) {
  const json = metadata.signed.toJSON() as { targets?: Parameters<typeof newTargets>[1] };
  return json.targets ?? {};
}

/** Name of a target's file with consistent snapshots (TUF §6.2), below `targets/`. */
export function hashedPathOf({ path, sha256 }: Pick<Listed, "path" | "sha256">): string {
  const slash = path.lastIndexOf("/");
  return `${path.slice(0, slash + 1)}${sha256}.${path.slice(slash + 1)}`;
}
