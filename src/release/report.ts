/** `update/state`: what a device says of itself. Signed by the device key; `promote` counts nothing else. */
import { z } from "zod";
import { DEFERRALS, PackName, UpdateStateName } from "./state.ts";

const count = z.int().nonnegative();

/** Aggregates only: no identity, no score of a person. */
export const ShadowStats = z.strictObject({
  frames: count,
  /** Faces that both detectors found, over faces that either found. */
  faceAgreement: z.number().min(0).max(1),
  /** Embedded faces that were compared with the gallery in both spaces. */
  compared: count,
  /** Of those, both said the same: the same person above threshold, or nobody. */
  identityAgreement: z.number().min(0).max(1),
  /** Mean margin to the threshold, candidate minus active, cosine. */
  scoreShift: z.number(),
  /** 95th percentile of one face step, ms. */
  activeP95Ms: z.number().nonnegative(),
  candidateP95Ms: z.number().nonnegative(),
  /** Frames that were not tried because the machine was busy. */
  shed: count,
});
export type ShadowStats = z.infer<typeof ShadowStats>;

export const UpdateReport = z.strictObject({
  schema: z.literal(1),
  kind: z.literal("update"),
  /** `<site>/<device>` */
  device: z.string().max(129),
  /** Increases with every report of this device, also over restarts. */
  seq: count,
  at: z.iso.datetime({ offset: true }),
  state: UpdateStateName,
  /** What runs now. */
  active: PackName,
  /** What the update is about; absent when idle. */
  jobId: z.string().max(64).optional(),
  ring: z.string().max(32).optional(),
  candidate: PackName.optional(),
  deferred: z.enum(DEFERRALS).optional(),
  /** 0 to 1 within the state. */
  progress: z.number().min(0).max(1).optional(),
  error: z.strictObject({ code: z.string().max(64), message: z.string().max(500) }).optional(),
  shadow: ShadowStats.optional(),
  /** Identities that keep no source crop, so that a new embedder cannot read them. */
  withoutCrops: count.optional(),
  /** Verified metadata that is past its date: no update, and an alarm. */
  metadataExpired: z.boolean().optional(),
});
export type UpdateReport = z.infer<typeof UpdateReport>;
