/** From a verdict about a track to grant or deny at one door. Fusion is AND: every condition must hold. */
import type { Identity } from "../gallery/identity.ts";
import { type DoorId, type EpochMs, epochMs, type IdentityId } from "../lib/brand.ts";
import type { Threshold } from "../match/threshold.ts";
import type { Decision, DenyReason, GrantReason } from "./decision.ts";
import type { Verdict } from "./evidence.ts";
import type { DecisionOptions } from "./options.ts";
import { type AccessRules, accessOf, type DoorMode } from "./rules.ts";
import { bandOf } from "./weight.ts";

export interface Circumstances {
  readonly rules: AccessRules;
  readonly doorId: DoorId;
  readonly mode: DoorMode;
  readonly at: EpochMs;
  readonly threshold: Threshold;
  /** Nobody is enrolled in the space in force. */
  readonly galleryEmpty: boolean;
  /** The pack is not for doors, and the site has not said that it may open them. */
  readonly demoOnly: boolean;
  /** Provider, pack or another condition of the site's policy is not met. */
  readonly degraded: boolean;
  readonly clockTrusted: boolean;
}

export type Judgement =
  | { readonly outcome: "grant"; readonly reason: GrantReason; readonly identityId: IdentityId }
  | { readonly outcome: "deny"; readonly reason: DenyReason; readonly identityId?: IdentityId };

/**
 * @param identity the record as it stands now; undefined when it was erased meanwhile
 * @returns reasons in order of priority: nobody, not calibrated, demo only, degraded, clock, then those of {@link accessOf}
 */
export function judge(
  verdict: Verdict,
  identity: Identity | undefined,
  now: Circumstances,
  options: Pick<DecisionOptions, "requireTrustedClock">,
): Judgement {
  // An empty gallery needs no threshold to know nobody.
  const calibrated = now.threshold.kind === "threshold" || now.galleryEmpty;
  if (verdict.kind !== "identified") {
    return {
      outcome: "deny",
      reason: verdict.kind === "unknown" && !calibrated ? "not_calibrated" : verdict.kind,
    };
  }
  if (identity === undefined || identity.id !== verdict.identityId)
    return { outcome: "deny", reason: "unknown" };
  const deny = (reason: DenyReason): Judgement => ({
    outcome: "deny",
    reason,
    identityId: identity.id,
  });
  if (!calibrated) return deny("not_calibrated");
  if (now.demoOnly) return deny("demo_only");
  if (now.degraded) return deny("degraded");
  if (options.requireTrustedClock && !now.clockTrusted) return deny("clock_not_trusted");
  const access = accessOf(now.rules, identity, now.doorId, now.at, now.mode);
  return access.kind === "allowed"
    ? { outcome: "grant", reason: "allowed", identityId: identity.id }
    : deny(access.reason);
}

/** The judgement with everything that goes onto the feeds. @param stamp a fresh id, and where it happened */
export function decisionOf(
  verdict: Verdict,
  identity: Identity | undefined,
  now: Circumstances,
  stamp: Pick<Decision, "id" | "doorId" | "cameraId" | "trackId">,
  options: Pick<DecisionOptions, "requireTrustedClock" | "decisionTtlMs">,
): Decision {
  const judgement = judge(verdict, identity, now, options);
  const inForce = now.threshold.kind === "threshold" ? now.threshold.cosine : undefined;
  const base = {
    ...stamp,
    issuedAt: now.at,
    expiresAt: epochMs(now.at + options.decisionTtlMs),
    ...(verdict.firstUsableAt !== undefined && { firstUsableAt: verdict.firstUsableAt }),
    scoreBand: bandOf(verdict.bestCosine, inForce),
    frames: verdict.frames,
  };
  if (judgement.outcome === "grant") return { ...base, ...judgement };
  const quality = verdict.kind === "identified" ? [] : verdict.quality;
  return { ...base, ...judgement, ...(quality.length > 0 && { quality }) };
}
