/** When a ring was good, and when a rollout is stopped: a function of what devices have proved. */
import type { UpdateStateName } from "../../src/release/state.ts";
import type { Ring } from "./fleet.ts";
import type { Heard, Wanted } from "./state.ts";

const HOUR_MS = 3_600_000;

export interface RingCount {
  readonly ring: string;
  readonly devices: number;
  readonly committed: number;
  readonly failed: number;
  /** Under way. */
  readonly begun: number;
  /** They have not begun, or nothing was heard of them. */
  readonly waiting: number;
}

export type RingVerdict =
  | { readonly kind: "wait"; readonly why: string }
  | { readonly kind: "good" }
  | { readonly kind: "abort"; readonly why: string };

const FAILED: ReadonlySet<UpdateStateName> = new Set(["failed", "rolled-back"]);

export type Stage = "waiting" | "begun" | "committed" | "failed";

type Rollout = Pick<Wanted, "jobId" | "pack">;

/**
 * How far a device is with this rollout. A device at rest that names this rollout only as one that it
 * refuses speaks of the update before: the pack decides what its state is about.
 */
export function stageOf({ jobId, pack }: Rollout, heard: Heard | undefined): Stage {
  if (heard === undefined || heard.jobId !== jobId) return "waiting";
  const { state } = heard;
  if (state === "committed") return heard.active.sha256 === pack.sha256 ? "committed" : "waiting";
  if (heard.candidate !== pack.sha256 || state === "idle" || state === "checked") return "waiting";
  return FAILED.has(state) ? "failed" : "begun";
}

export function countRing(
  ring: string,
  rollout: Rollout,
  devices: readonly (Heard | undefined)[],
): RingCount {
  const stages = devices.map((device) => stageOf(rollout, device));
  const count = (stage: Stage): number => stages.filter((each) => each === stage).length;
  return {
    ring,
    devices: devices.length,
    committed: count("committed"),
    failed: count("failed"),
    begun: count("begun"),
    waiting: count("waiting"),
  };
}

/** @param devices of that ring, as heard last */
export function judgeRing(
  ring: Ring,
  rollout: Rollout,
  devices: readonly (Heard | undefined)[],
  nowMs: number,
): RingVerdict {
  const counted = countRing(ring.name, rollout, devices);
  const of = (number: number): string => `${number} of ${counted.devices}`;
  if (counted.devices === 0) return { kind: "good" };
  const heardOf = (...stages: readonly Stage[]): readonly Heard[] =>
    devices.filter(
      (device) => device !== undefined && stages.includes(stageOf(rollout, device)),
    ) as readonly Heard[];
  if (counted.failed / counted.devices > ring.failedMax) {
    const codes = new Set(heardOf("failed").flatMap(({ error }) => error ?? []));
    return {
      kind: "abort",
      why: `${of(counted.failed)} devices of ring ${ring.name} failed (${[...codes].join(", ") || "no code"}), ${percent(ring.failedMax)} are allowed`,
    };
  }
  const agreement = meanAgreement(heardOf("begun", "committed", "failed"));
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
  return soaked(ring, heardOf("committed"), nowMs);
}

function soaked(ring: Ring, committed: readonly Heard[], nowMs: number): RingVerdict {
  const since = Math.max(
    ...committed.map(({ committedAt }) =>
      committedAt === undefined ? nowMs : Date.parse(committedAt),
    ),
  );
  const hours = Math.max(0, nowMs - since) / HOUR_MS;
  if (committed.length === 0 || hours >= ring.soakHours) return { kind: "good" };
  return {
    kind: "wait",
    why: `ring ${ring.name} has run it for ${hours.toFixed(1)} h, ${ring.soakHours} h are wanted`,
  };
}

/** The lower of face and identity agreement, over devices that compared something. */
function meanAgreement(devices: readonly Heard[]): number | undefined {
  const agreements = devices.flatMap(({ shadow }) => {
    if (shadow === undefined || shadow.frames === 0) return [];
    const { faceAgreement, identityAgreement, compared } = shadow;
    return [compared === 0 ? faceAgreement : Math.min(faceAgreement, identityAgreement)];
  });
  if (agreements.length === 0) return undefined;
  return agreements.reduce((sum, each) => sum + each, 0) / agreements.length;
}

const percent = (value: number): string => `${Number((value * 100).toFixed(1))} %`;
