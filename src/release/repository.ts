/**
 * How a release repository is laid out: what `scripts/release` writes and `src/update` reads. Static
 * files, served by any web server, object store or a directory (`file:`).
 *
 *     metadata/   TUF metadata with consistent snapshots: 1.root.json, 3.targets.json, timestamp.json
 *     targets/packs/<packId>/<sha256>.pack.json     the only TUF targets
 *     blobs/<sha256>                                the files that a pack.json names
 *     desired/<site>/<device>.json                  signed desired states (an Envelope), for USB sticks
 */
import { z } from "zod";
import type { PackId } from "../lib/brand.ts";
import { PackIdSchema, SpaceIdSchema } from "../lib/id.ts";

export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be a sha256 in lower-case hex");

/** Processors that a pack may be for, as `process.arch` names them. */
export const Hardware = z.enum(["x64", "arm64"]);
export type Hardware = z.infer<typeof Hardware>;

/** `custom` of a TUF target: a device refuses what is not for it before it fetches a byte of it. */
export const TargetCustom = z.strictObject({
  kind: z.literal("pack"),
  packId: PackIdSchema,
  releaseCounter: z.int().nonnegative(),
  spaceId: SpaceIdSchema,
  hardware: z.array(Hardware).min(1).max(8),
  minimumRuntime: z.string().max(32),
  /** Of all files that the pack names. */
  bytes: z.int().positive(),
});
export type TargetCustom = z.infer<typeof TargetCustom>;

/** The TUF target path of a pack. */
export function targetPathOf(packId: PackId): string {
  return `packs/${packId}/pack.json`;
}

/** Below the repository's root. */
export function blobPathOf(sha256: string): string {
  return `blobs/${sha256}`;
}

/** Below the repository's root. @param address `<site>/<device>` */
export function desiredPathOf(address: string): string {
  return `desired/${address}.json`;
}
