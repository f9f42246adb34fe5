/** `add`: what is offered to devices. A pack is tried before it is listed, and listed as the device will read it. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Pack } from "../../src/embedding/pack.ts";
import type { PackId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import {
  blobPathOf,
  type Hardware,
  TargetCustom,
  targetPathOf,
} from "../../src/release/repository.ts";
import { readPack, readPackFile } from "../../src/vision/read-pack.ts";
import { copyDurably, exists, sha256OfFile } from "./files.ts";
import { hashedPathOf, type Listed, targetsJsonOf } from "./listing.ts";
import { readDrafts, readPublished, writeDraft } from "./published.ts";
import { newTargets } from "./roles.ts";
import type { Means, Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

/** Runs the models of a pack where they can crash without us. @throws Fault `golden_mismatch` and others */
export type TryPack = (directory: string) => Promise<void>;

/**
 * Drafts a list that offers this pack too. Another release with its id is replaced.
 *
 * @throws Fault `pack_invalid`, `pack_corrupt`, `pack_uncalibrated`, `pack_stale`, and those of `tryPack`
 */
export async function addPack(
  workspace: Workspace,
  directory: string,
  hardware: readonly Hardware[],
  tryPack: TryPack,
  means: Means,
): Promise<Listed> {
  const pack = await readPack(directory);
  for (const { name } of pack.files) await readPackFile(directory, pack, name);
  if (pack.calibration === undefined) {
    throw new Fault(
      "pack_uncalibrated",
      `pack ${pack.id} has no calibration: with it every decision would be a denial; make one with facetrain calibrate or ostiary evaluate calibration`,
    );
  }
  const listed = await listedOf(pack, directory, hardware);
  const draft = await currentList(workspace);
  isNewer(listed, draft);
  await tryPack(directory);
  await takeFiles(workspace, pack, directory, listed);
  await draftList(workspace, { ...draft, [listed.path]: targetJsonOf(listed) }, means);
  return listed;
}

/** Drafts a list without that pack: no device begins with it any more; those that run it keep it. */
export async function delistPack(workspace: Workspace, id: PackId, means: Means): Promise<void> {
  const { [targetPathOf(id)]: gone, ...rest } = await currentList(workspace);
  if (gone === undefined)
    throw new Fault("target_missing", `pack ${id} is not listed: see ostiary-release status`);
  await draftList(workspace, rest, means);
}

type TargetsJson = ReturnType<typeof targetsJsonOf>;

async function currentList(workspace: Workspace): Promise<TargetsJson> {
  const drafts = await readDrafts(workspace);
  const targets = drafts.targets ?? (await readPublished(workspace.repository))?.targets;
  return targets === undefined ? {} : targetsJsonOf(targets);
}

async function draftList(workspace: Workspace, targets: TargetsJson, means: Means): Promise<void> {
  const published = await readPublished(workspace.repository);
  const version = (published?.targets.signed.version ?? 0) + 1;
  const expiresMs = means.now() + workspace.settings.expiry.targetsDays * DAY_MS;
  // A list that changed has no signatures: whoever signed the last one signed something else.
  await writeDraft(workspace, "targets", newTargets({ version, expiresMs }, targets));
}

async function listedOf(
  pack: Pack,
  directory: string,
  hardware: readonly Hardware[],
): Promise<Listed> {
  const file = join(directory, "pack.json");
  const { size } = await stat(file);
  return {
    path: targetPathOf(pack.id),
    sha256: await sha256OfFile(file),
    length: size,
    custom: TargetCustom.parse({
      kind: "pack",
      packId: pack.id,
      releaseCounter: pack.releaseCounter,
      spaceId: pack.embedder.spaceId,
      hardware: [...hardware],
      minimumRuntime: pack.minimumRuntime,
      bytes: pack.files.reduce((sum, each) => sum + each.bytes, 0),
    }),
  };
}

function targetJsonOf({ length, sha256, custom }: Listed): TargetsJson[string] {
  // One hash: clients take the first one for the file's name.
  return { length, hashes: { sha256 }, custom: { ...custom } };
}

function isNewer(listed: Listed, draft: TargetsJson): void {
  const before = draft[listed.path] as
    | { custom?: unknown; hashes?: { sha256?: string } }
    | undefined;
  const custom = TargetCustom.safeParse(before?.custom);
  if (!custom.success || before?.hashes?.sha256 === listed.sha256) return;
  const { packId, releaseCounter } = listed.custom;
  if (releaseCounter > custom.data.releaseCounter) return;
  throw new Fault(
    "pack_stale",
    `pack ${packId} is listed with counter ${custom.data.releaseCounter}, this one has ${releaseCounter}: give it a higher counter, or another id`,
  );
}

async function takeFiles(
  workspace: Workspace,
  pack: Pack,
  directory: string,
  listed: Listed,
): Promise<void> {
  for (const { name, sha256 } of pack.files) {
    const path = blobPathOf(sha256);
    if (await exists(join(workspace.repository, path))) continue;
    await copyDurably(join(directory, name), join(workspace.next, path));
  }
  const target = join(workspace.next, "targets", hashedPathOf(listed));
  await copyDurably(join(directory, "pack.json"), target);
}
