/** Desired states: made, signed by the director, written down, then told. */
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { keyIdOf, type Signer, seal } from "../../src/mqtt/envelope.ts";
import { DesiredState } from "../../src/release/desired.ts";
import { desiredPathOf } from "../../src/release/repository.ts";
import type { FleetBroker } from "./broker.ts";
import { writeDurably } from "./files.ts";
import type { FleetDevice } from "./fleet.ts";
import { type State, type Told, type Wanted, writeState } from "./state.ts";
import { type Means, signerNamed, type Workspace } from "./workspace.ts";

/** The director's key, opened. */
export async function openDirector(workspace: Workspace, means: Means): Promise<Signer> {
  const { publicKey, sign } = await signerNamed(workspace, workspace.settings.director, means);
  return { kid: keyIdOf(Buffer.from(publicKey, "base64")), sign };
}

/** A wish for one device, with the next number of its own. Changes `state`, tells nobody yet. */
export function wish(
  state: State,
  wanted: Wanted,
  device: FleetDevice,
  director: Signer,
  nowMs: number,
): void {
  const { address } = device;
  const numbers = state.seq[director.kid] ?? {};
  const seq = (numbers[address] ?? 0) + 1;
  state.seq[director.kid] = { ...numbers, [address]: seq };
  const document: DesiredState = DesiredState.parse({
    schema: 1,
    kind: "desired",
    aud: address,
    jobId: wanted.jobId,
    seq,
    pack: wanted.pack,
    ring: device.ring,
    issuedAt: new Date(nowMs).toISOString(),
    from: new Date(nowMs).toISOString(),
    until: wanted.until,
    attemptEpoch: state.attempts[wanted.pack.sha256] ?? 0,
    ...(wanted.allowRollbackTo === undefined ? {} : { allowRollbackTo: wanted.allowRollbackTo }),
  });
  const told = state.told[address];
  const before = told?.wanted.jobId === wanted.jobId ? told.before : told?.wanted;
  state.told[address] = {
    wanted,
    envelope: JSON.stringify(seal(JSON.stringify(document), director)),
    isSent: false,
    ...(before === undefined ? {} : { before }),
  };
}

/** Takes a wish back where there was none before it. */
export function unwish(state: State, address: string): void {
  const told = state.told[address];
  if (told === undefined) return;
  const { envelope: _, ...rest } = told;
  state.told[address] = { ...rest, isSent: false };
}

/**
 * Writes the state, then tells every device what it was not told yet: as a file of the repository, and
 * over the broker when there is one. What fails is told by the next command.
 *
 * @returns addresses that were told over the broker
 */
export async function deliver(
  workspace: Workspace,
  state: State,
  broker: FleetBroker | undefined,
): Promise<readonly string[]> {
  await writeState(workspace, state);
  const unsent = Object.entries(state.told).filter(([, told]) => !told.isSent);
  for (const [address, told] of unsent) await writeWish(workspace, address, told);
  if (broker === undefined) return [];
  const sent: string[] = [];
  try {
    for (const [address, told] of unsent) {
      await broker.tell(address, told.envelope);
      state.told[address] = { ...told, isSent: true };
      sent.push(address);
    }
  } finally {
    await writeState(workspace, state);
  }
  return sent;
}

async function writeWish(workspace: Workspace, address: string, told: Told): Promise<void> {
  const path = join(workspace.repository, desiredPathOf(address));
  if (told.envelope === undefined) return rm(path, { force: true });
  await mkdir(dirname(path), { recursive: true });
  await writeDurably(path, told.envelope);
}
