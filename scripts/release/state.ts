/** `state.json`: what devices were told, and how far a rollout is. Written before anything is said. */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { KeyId } from "../../src/lib/envelope.ts";
import { codeOf, Fault } from "../../src/lib/fault.ts";
import { DesiredState } from "../../src/release/desired.ts";
import { ShadowStats } from "../../src/release/report.ts";
import { PackName, UpdateStateName } from "../../src/release/state.ts";
import { writeDurably } from "./files.ts";
import type { Workspace } from "./workspace.ts";

const count = z.int().nonnegative();
const instant = z.iso.datetime({ offset: true });

/** What a rollout asks of its devices. */
const Wanted = DesiredState.pick({
  jobId: true,
  pack: true,
  until: true,
  allowRollbackTo: true,
}).strict();
export type Wanted = z.infer<typeof Wanted>;

/** The last document for a device. */
const Told = z.strictObject({
  wanted: Wanted,
  /** The Envelope as text; absent when its retained message was taken back. */
  envelope: z.string().optional(),
  /** Whether the broker has it. */
  isSent: z.boolean(),
  /** What the device was told before this rollout: where a pause leads back to. */
  before: Wanted.optional(),
});
export type Told = z.infer<typeof Told>;

/** What a device has proved about itself, from its newest signed report. */
const Heard = z.strictObject({
  seq: count,
  at: instant,
  state: UpdateStateName,
  jobId: z.string().optional(),
  active: PackName,
  /** sha256 of the pack that the state is about. */
  candidate: PackName.shape.sha256.optional(),
  shadow: ShadowStats.optional(),
  error: z.string().optional(),
  /** First report that said committed, of that job and with that pack. */
  committedAt: instant.optional(),
});
export type Heard = z.infer<typeof Heard>;

const Job = z.strictObject({
  kind: z.enum(["rollout", "rollback"]),
  wanted: Wanted,
  createdAt: instant,
  status: z.enum(["running", "paused", "done"]),
  /** Why it stands still. */
  reason: z.string().optional(),
  /** Rings that have begun, in order. */
  rings: z.array(z.strictObject({ name: z.string(), at: instant })),
});
export type Job = z.infer<typeof Job>;

export const State = z.strictObject({
  schema: z.literal(1),
  /** Highest number used, by director key and address. A number is used once it stands here. */
  seq: z.record(KeyId, z.record(z.string(), count)),
  told: z.record(z.string(), Told),
  heard: z.record(z.string(), Heard),
  /** Highest attempt of a pack, by its sha256. */
  attempts: z.record(z.string(), count),
  job: Job.optional(),
});
export type State = z.infer<typeof State>;

const EMPTY: State = { schema: 1, seq: {}, told: {}, heard: {}, attempts: {} };

/** @throws Fault `state_damaged`: it is never begun anew by itself, since numbers would be used twice */
export async function readState(workspace: Workspace): Promise<State> {
  const path = workspace.at("state.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if (codeOf(thrown) === "ENOENT") return structuredClone(EMPTY);
    throw thrown;
  }
  const parsed = State.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new Fault(
    "state_damaged",
    `${path} is not readable: restore it from a copy, or rotate the director key before you remove it`,
  );
}

export async function writeState(workspace: Workspace, state: State): Promise<void> {
  // What could not be read again is not written.
  const text = JSON.stringify(State.parse(state), null, 1);
  await writeDurably(workspace.at("state.json"), `${text}\n`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
