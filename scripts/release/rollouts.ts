/** A pack's way to the fleet: ring after ring, on what the devices prove, and back. */
import { randomBytes } from "node:crypto";
import type { PackId } from "../../src/lib/brand.ts";
import { Fault } from "../../src/lib/fault.ts";
import type { DesiredState } from "../../src/release/desired.ts";
import type { FleetBroker } from "./broker.ts";
import type { FleetDevice, FleetPlan, Ring } from "./fleet.ts";
import { listedIn } from "./listing.ts";
import { readPublished } from "./published.ts";
import { judgeReport } from "./reports.ts";
import { countRing, judgeRing, type RingCount, stageOf } from "./rollout.ts";
import { type Job, readState, type State, type Wanted, writeState } from "./state.ts";
import { deliver, openDirector, unwish, wish } from "./wishes.ts";
import type { Means, Workspace } from "./workspace.ts";

const DAY_MS = 86_400_000;

export interface Rollouts {
  readonly workspace: Workspace;
  readonly fleet: FleetPlan;
  /** Undefined where devices are told by files only. */
  readonly broker: FleetBroker | undefined;
  readonly means: Means;
  /** How long to wait for a report that does not come, ms. */
  readonly silenceMs: number;
}

export interface Promoted extends Told {
  readonly verdict: {
    readonly kind: "wait" | "abort" | "next" | "done";
    readonly why: string;
  };
}

export interface BeginOptions {
  readonly packId: PackId;
  readonly ring: string;
  /** How long the wish is good. */
  readonly days: number;
  /** Also on devices where this pack failed before. */
  readonly again: boolean;
}

/** What a command of this family says. */
export interface Told {
  readonly job: Job;
  readonly rings: readonly RingCount[];
  /** Addresses with a new wish. */
  readonly wished: readonly string[];
  readonly sent: readonly string[];
  readonly refused: readonly { readonly address: string; readonly code: string }[];
}

/** Begins with a pack at a ring; a ring that has begun already is told again. @throws Fault */
export async function beginRollout(all: Rollouts, options: BeginOptions): Promise<Told> {
  const { workspace, fleet, means } = all;
  const ring = ringNamed(fleet, options.ring);
  const pack = await listedPack(workspace, options.packId);
  const state = await readState(workspace);
  const { job: last } = state;
  const goesOn =
    last?.kind === "rollout" &&
    last.status === "running" &&
    last.wanted.pack.sha256 === pack.sha256;
  if (options.again) state.attempts[pack.sha256] = (state.attempts[pack.sha256] ?? 0) + 1;
  const job = goesOn && !options.again ? last : newJob("rollout", pack, options.days, means.now());
  const wished = await wishRing(all, state, job, ring);
  return told(all, state, wished, []);
}

/** Reads the reports, and goes on, waits, or stops. */
export async function promote(all: Rollouts, signal: AbortSignal): Promise<Promoted> {
  const { fleet, means } = all;
  const state = await readState(all.workspace);
  const job = runningJob(state);
  const refused = await hear(all, state, signal);
  const late = await wishNewcomers(all, state, job);
  const verdicts = job.rings.map(({ name }) =>
    judgeRing(ringNamed(fleet, name), job.wanted, heardIn(fleet, state, name), means.now()),
  );
  const abort = verdicts.find(({ kind }) => kind === "abort");
  // A way back is not stopped: it would lead forward again.
  if (abort?.kind === "abort" && job.kind === "rollout") {
    const wished = await stop(all, state, abort.why);
    return { ...(await told(all, state, wished, refused)), verdict: abort };
  }
  const last = abort ?? verdicts.at(-1);
  if (last !== undefined && last.kind !== "good") {
    const verdict = { kind: "wait", why: last.why } as const;
    return { ...(await told(all, state, late, refused)), verdict };
  }
  const next = nextRing(fleet, job);
  if (next === undefined) {
    state.job = { ...job, status: "done" };
    const verdict = { kind: "done", why: "every ring has committed" } as const;
    return { ...(await told(all, state, late, refused)), verdict };
  }
  const wished = await wishRing(all, state, job, next);
  const verdict = { kind: "next", why: `ring ${next.name} begins` } as const;
  return { ...(await told(all, state, [...late, ...wished], refused)), verdict };
}

/** Stops by hand: devices that have not begun go back to what they were told before. */
export async function pause(all: Rollouts, reason: string, signal: AbortSignal): Promise<Told> {
  const state = await readState(all.workspace);
  runningJob(state);
  const refused = await hear(all, state, signal);
  const wished = await stop(all, state, reason);
  return told(all, state, wished, refused);
}

/** Every device that was told of the newer pack is told of the older one, and that it may go down to it. */
export async function rollBack(all: Rollouts, packId: PackId, days: number): Promise<Told> {
  const { workspace, fleet, means } = all;
  const pack = await listedPack(workspace, packId);
  const state = await readState(workspace);
  const begun = state.job?.rings ?? [];
  const now = means.now();
  const fresh = newJob("rollback", pack, days, now);
  const job: Job = {
    ...fresh,
    wanted: { ...fresh.wanted, allowRollbackTo: pack.releaseCounter },
    rings:
      begun.length === 0
        ? fleet.rings.map(({ name }) => ({ name, at: new Date(now).toISOString() }))
        : begun,
  };
  state.attempts[pack.sha256] = (state.attempts[pack.sha256] ?? 0) + 1;
  state.job = job;
  const director = await openDirector(workspace, means);
  const wished = fleet.devices.filter(({ ring }) => job.rings.some(({ name }) => name === ring));
  for (const device of wished) wish(state, job.wanted, device, director, now);
  return told(
    all,
    state,
    wished.map(({ address }) => address),
    [],
  );
}

/** How it stands, with fresh reports when there is a broker. */
export async function rolloutStatus(all: Rollouts, signal: AbortSignal): Promise<Told | undefined> {
  const state = await readState(all.workspace);
  const refused = await hear(all, state, signal);
  await writeState(all.workspace, state);
  if (state.job === undefined) return undefined;
  return {
    job: state.job,
    rings: countsOf(all.fleet, state, state.job),
    wished: [],
    sent: [],
    refused,
  };
}

function newJob(kind: Job["kind"], pack: DesiredState["pack"], days: number, now: number): Job {
  const createdAt = new Date(now).toISOString();
  return {
    kind,
    wanted: {
      jobId: `${createdAt.slice(0, 10)}-${randomBytes(4).toString("hex")}`,
      pack,
      until: new Date(now + days * DAY_MS).toISOString(),
    },
    createdAt,
    status: "running",
    rings: [],
  };
}

async function wishRing(
  { workspace, fleet, means }: Rollouts,
  state: State,
  job: Job,
  ring: Ring,
): Promise<readonly string[]> {
  const devices = fleet.devices.filter((device) => device.ring === ring.name);
  if (devices.length === 0 && fleet.devices.length > 0 && job.rings.length === 0)
    throw new Fault("ring_empty", `ring ${ring.name} has no device: see fleet.yaml`);
  const now = means.now();
  const isNew = !job.rings.some(({ name }) => name === ring.name);
  const begun = {
    ...job,
    rings: isNew ? [...job.rings, { name: ring.name, at: new Date(now).toISOString() }] : job.rings,
  };
  state.job = begun;
  const director = await openDirector(workspace, means);
  for (const device of devices) wish(state, begun.wanted, device, director, now);
  return devices.map(({ address }) => address);
}

/** Devices that came to a ring after it had begun. */
async function wishNewcomers(
  { workspace, fleet, means }: Rollouts,
  state: State,
  job: Job,
): Promise<readonly string[]> {
  const newcomers = fleet.devices.filter(
    ({ address, ring }) =>
      job.rings.some(({ name }) => name === ring) &&
      state.told[address]?.wanted.jobId !== job.wanted.jobId,
  );
  if (newcomers.length === 0) return [];
  const director = await openDirector(workspace, means);
  for (const device of newcomers) wish(state, job.wanted, device, director, means.now());
  return newcomers.map(({ address }) => address);
}

/** Devices that have begun see it through, or roll back by themselves; the others never begin. */
async function stop(all: Rollouts, state: State, reason: string): Promise<readonly string[]> {
  const { workspace, fleet, means } = all;
  const job = runningJob(state);
  state.job = { ...job, status: "paused", reason };
  const waiting = fleet.devices.filter(
    ({ address }) =>
      state.told[address]?.wanted.jobId === job.wanted.jobId &&
      stageOf(job.wanted, state.heard[address]) === "waiting",
  );
  if (waiting.length === 0) return [];
  const director = await openDirector(workspace, means);
  for (const device of waiting) {
    const before = state.told[device.address]?.before;
    if (before === undefined) unwish(state, device.address);
    else wish(state, lasting(before, job.wanted), device, director, means.now());
  }
  return waiting.map(({ address }) => address);
}

/** A way back must not have run out while the way forward was tried. */
function lasting(before: Wanted, after: Wanted): Wanted {
  const until = Date.parse(before.until) > Date.parse(after.until) ? before.until : after.until;
  return { ...before, until };
}

async function hear(
  { fleet, broker, silenceMs }: Rollouts,
  state: State,
  signal: AbortSignal,
): Promise<Told["refused"]> {
  if (broker === undefined) return [];
  const devices = new Map(fleet.devices.map((device) => [device.address, device]));
  const reports = await broker.reports([...devices.keys()], silenceMs, signal);
  const refused: { address: string; code: string }[] = [];
  for (const [address, text] of reports) {
    const verdict = judgeReport(text, devices.get(address) as FleetDevice, state.heard[address]);
    if (verdict.kind === "heard") state.heard[address] = verdict.heard;
    else refused.push({ address, code: verdict.code });
  }
  return refused;
}

async function told(
  { workspace, fleet, broker }: Rollouts,
  state: State,
  wished: readonly string[],
  refused: Told["refused"],
): Promise<Told> {
  const sent = await deliver(workspace, state, broker);
  const job = state.job as Job;
  return { job, rings: countsOf(fleet, state, job), wished, sent, refused };
}

function countsOf(fleet: FleetPlan, state: State, job: Job): readonly RingCount[] {
  return job.rings.map(({ name }) => countRing(name, job.wanted, heardIn(fleet, state, name)));
}

function heardIn(fleet: FleetPlan, state: State, ring: string) {
  return fleet.devices
    .filter((device) => device.ring === ring)
    .map(({ address }) => state.heard[address]);
}

function nextRing(fleet: FleetPlan, job: Job): Ring | undefined {
  const last = fleet.rings.findIndex(({ name }) => name === job.rings.at(-1)?.name);
  return fleet.rings
    .slice(last + 1)
    .find(({ name }) => fleet.devices.some(({ ring }) => ring === name));
}

function ringNamed(fleet: FleetPlan, name: string): Ring {
  const ring = fleet.rings.find((each) => each.name === name);
  if (ring !== undefined) return ring;
  throw new Fault(
    "ring_unknown",
    `there is no ring "${name}": fleet.yaml has ${fleet.rings.map((each) => each.name).join(", ")}`,
  );
}

function runningJob(state: State): Job {
  const { job } = state;
  if (job?.status === "running") return job;
  throw new Fault(
    "no_rollout",
    job === undefined
      ? "no rollout was begun: ostiary-release publish --pack ID --ring RING"
      : `the last rollout (${job.wanted.pack.id}) is ${job.status}${job.reason === undefined ? "" : `: ${job.reason}`}; begin again with publish --pack ID --ring RING`,
  );
}

async function listedPack(workspace: Workspace, id: PackId): Promise<DesiredState["pack"]> {
  const published = await readPublished(workspace.repository);
  const listed = published === undefined ? [] : listedIn(published.targets);
  const found = listed.find(({ custom }) => custom.packId === id);
  if (found !== undefined)
    return { id, sha256: found.sha256, releaseCounter: found.custom.releaseCounter };
  throw new Fault(
    "target_missing",
    `the published repository lists no pack ${id}: it has ${listed.map(({ custom }) => custom.packId).join(", ") || "none"}`,
  );
}
