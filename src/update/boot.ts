/** Which pack a start serves: decided from the journal before anything of a pack is loaded. */
import type { EpochMs } from "../lib/brand.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { bootOf, isInFlight, next, updateErrorOf } from "../release/journal.ts";
import type { UpdateJournal } from "../release/journal-port.ts";
import type { PackOnDisk } from "../release/ports.ts";
import type { PackName } from "../release/state.ts";
import type { Packs } from "./packs.ts";

export interface BootDeps {
  readonly journal: UpdateJournal;
  readonly packs: Packs;
  readonly log: Log;
}

/**
 * Notes the try, mends the links and says what to serve. A journal that cannot be written starts nothing
 * new: the pack before the update serves. One that cannot be read names no pack: the factory pack serves.
 */
export async function bootPack(deps: BootDeps, now: EpochMs): Promise<PackOnDisk> {
  const { journal, packs, log } = deps;
  const read = memoised((name) => packs.read(name));
  let before: PackName | undefined;
  try {
    const found = journal.entry();
    before = found.active;
    const { entry, pack } = bootOf(found, (name) => read(name) !== undefined, now);
    if (entry !== found) {
      journal.change({ entry }, now);
      const { state, tries, error } = entry;
      log.warn({ state, tries, code: error?.code }, error?.message ?? "an update goes on");
    }
    const isCandidate = pack !== undefined && pack.sha256 === entry.candidate?.sha256;
    const previous = isCandidate && isInFlight(entry.state) ? entry.active : entry.previous;
    await packs.point(pack, previous).catch((thrown: unknown) => {
      log.warn({ code: codeOf(thrown) }, "the links of the packs cannot be written");
    });
    return (pack === undefined ? undefined : read(pack)) ?? packs.factory;
  } catch (thrown) {
    log.error(
      { code: codeOf(thrown) },
      `the journal of updates cannot be used, nothing new is started: ${messageOf(thrown)}`,
    );
    return (before === undefined ? undefined : read(before)) ?? packs.factory;
  }
}

/**
 * A start that failed with the candidate: it is not tried a second time. Called before the fault goes on.
 */
export function bootFailed({ journal, log }: BootDeps, fault: unknown, now: EpochMs): void {
  try {
    const entry = journal.entry();
    if (entry.state !== "activating" && entry.state !== "probation") return;
    const failed = next(entry, { kind: "failed", error: updateErrorOf(fault) }, now);
    journal.change({ entry: failed }, now);
  } catch (thrown) {
    log.error({ code: codeOf(thrown) }, "the failed start of a pack cannot be noted");
  }
}

function memoised(
  read: (name: PackName) => PackOnDisk | undefined,
): (name: PackName) => PackOnDisk | undefined {
  const known = new Map<string, PackOnDisk | undefined>();
  return (name) => {
    if (!known.has(name.sha256)) known.set(name.sha256, read(name));
    return known.get(name.sha256);
  };
}
