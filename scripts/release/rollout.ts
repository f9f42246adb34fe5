/** When a ring was good, and when a rollout is stopped: a function of what devices have proved. */
import type { UpdateStateName } from "../../src/release/state.ts";
import type { Ring } from "./fleet.ts";
import type { Heard } from "./state.ts";

const HOUR_MS = 3_600_000;

export interface RingCount {
  readonly ring: string;
  readonly devices: number;
  readonly committed: number;
  readonly failed: number;
  /** Under way. */
  readonly begun: number;
  /** Nothing of this rollout was heard of them. */
  readonly silent: number;
}

export type RingVerdict =
  | { readonly kind: "wait"; readonly why: string }
  | { readonly kind: "good" }
  | { readonly kind: "abort"; readonly why: string };

const FAILED: ReadonlySet<UpdateStateName> = new Set(["failed", "rolled-back"]);

/** Of this rollout only: what a device says of another one counts as silence. */
export function isOf(jobId: string, heard: Heard | undefined): heard is Heard {
  return heard !== undefined && heard.jobId === jobId;
}

/** A device that the previous wish still reaches in time. */
export function hasBegun(jobId: string, heard: Heard | undefined): boolean {
  return isOf(jobId, heard) && heard.state !== "idle" && heard.state !== "checked";
}

export function countRing(
  ring: string,
  jobId: string,
  devices: readonly (Heard | undefined)[],
): RingCount {
  const heard = devices.filter((device) => isOf(jobId, device)) as readonly Heard[];
  const committed = heard.filter(({ state }) => state === "committed").length;
  const failed = heard.filter(({ state }) => FAILED.has(state)).length;
  const begun = heard.filter((device) => hasBegun(jobId, device)).length - committed - failed;
  return {
    ring,
    devices: devices.length,
    committed,
    failed,
    begun,
    silent: devices.length - committed - failed - begun,
  };
}

/** @param devices of that ring, as heard last */
export function judgeRing(
  ring: Ring,
  jobId: string,
  devices: readonly (Heard | undefined)[],
  nowMs: number,
): RingVerdict {
  const counted = countRing(ring.name, jobId, devices);
  const of = (number: number): string => `${number} of ${counted.devices}`;
  if (counted.devices === 0) return { kind: "good" };
  if (counted.failed / counted.devices > ring.failedMax) {
    const codes = devices.flatMap((device) =>
      isOf(jobId, device) && device.error !== undefined ? [device.error] : [],
    );
    return {
      kind: "abort",
      why: `${of(counted.failed)} devices of ring ${ring.name} failed (${[...new Set(codes)].join(", ") || "no code"}), ${percent(ring.failedMax)} are allowed`,
    };
  }
  const agreement = meanAgreement(jobId, devices);
  if (agreement !== undefined && agreement < ring.shadowAgreementMin) {
    return {
      kind: "abort",
      why: `the shadow runs of ring ${ring.name} agree in ${percent(agreement)}, ${percent(ring.shadowAgreementMin)} are wanted`,
    };
  }
  if (counted.committed / counted.devices < ring.committedMin)
    return {
      kind: "wait",
      why: `${of(counted.committed)} devices of ring ${ring.name} have committed, ${percent(ring.committedMin)} are wanted`,
    };
  const since = Math.max(
    ...devices.flatMap((device) =>
      isOf(jobId, device) && device.committedAt !== undefined
        ? [Date.parse(device.committedAt)]
        : [],
    ),
  );
  const hours = (nowMs - since) / HOUR_MS;
  if (ring.committedMin > 0 && hours < ring.soakHours)
    return {
      kind: "wait",
      why: `ring ${ring.name} has run it for ${hours.toFixed(1)} h, ${ring.soakHours} h are wanted`,
    };
  return { kind: "good" };
}

/** The lower of face and identity agreement, over devices that compared something. */
function meanAgreement(jobId: string, devices: readonly (Heard | undefined)[]): number | undefined {
  const agreements = devices.flatMap((device) => {
    if (!isOf(jobId, device) || device.shadow === undefined || device.shadow.frames === 0)
      return [];
    const { faceAgreement, identityAgreement, compared } = device.shadow;
    return [compared === 0 ? faceAgreement : Math.min(faceAgreement, identityAgreement)];
  });
  if (agreements.length === 0) return undefined;
  return agreements.reduce((sum, each) => sum + each, 0) / agreements.length;
}

const percent = (value: number): string => `${Number((value * 100).toFixed(1))} %`;
