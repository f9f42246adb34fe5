/**
 * The states of an update on one device, and what may follow what. The journal holds one entry; every
 * state can be entered again after a crash.
 *
 *     idle → checked → downloading → verified → staged → self-tested → re-embedding → shadow
 *          → activating → probation → committed          any of them → failed → rolled-back
 */
import { z } from "zod";
import { PackIdSchema, SpaceIdSchema } from "../lib/id.ts";
import { Sha256 } from "./repository.ts";

export const UPDATE_STATES = [
  "idle",
  "checked",
  "downloading",
  "verified",
  "staged",
  "self-tested",
  "re-embedding",
  "shadow",
  "activating",
  "probation",
  "committed",
  "failed",
  "rolled-back",
] as const;
export const UpdateStateName = z.enum(UPDATE_STATES);
export type UpdateStateName = z.infer<typeof UpdateStateName>;

/** Why an update waits where it is; the next check may go on. */
export const DEFERRALS = ["window", "busy", "low_disk", "thermal", "load", "no_crops"] as const;
export type Deferral = (typeof DEFERRALS)[number];

/** A pack as the journal and the reports name it. */
export const PackName = z.strictObject({
  id: PackIdSchema,
  /** Of `pack.json`; also the name of its directory. */
  sha256: Sha256,
  releaseCounter: z.int().nonnegative(),
  spaceId: SpaceIdSchema,
});
export type PackName = z.infer<typeof PackName>;
