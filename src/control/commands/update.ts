/** Model updates: `update/status`, and `check`, `apply`, `abort`, `rollback`, which answer when they are done. */
import { z } from "zod";
import type { UpdateStatus } from "../../update/reporter.ts";
import {
  answers,
  type Command,
  type CommandContext,
  done,
  reads,
  refusal,
  takesLong,
} from "../command.ts";
import type { UpdatesPort } from "../deps.ts";

const nothing = z.strictObject({});

export const updateStatus = reads(
  "Says what runs, what is wanted and how far an update is",
  nothing,
  async (_args, { updates }) => (updates === undefined ? off() : done(updates.status())),
);

export const updateCheck = asks("Asks the repository for a desired state", (updates, signal) =>
  updates.check(signal),
);

export const updateApply = asks(
  "Asks the repository, and waits for no better moment; starts again what an operator has stopped",
  (updates, signal) => updates.apply(signal),
);

export const updateAbort = asks(
  "Ends the update that is under way",
  (updates, signal) => updates.abort(signal),
  () => refusal("nothing_to_abort", "no update is under way"),
);

export const updateRollback = asks(
  "Has the pack before this one serve again; works offline",
  (updates, signal) => updates.rollBack(signal),
  () =>
    refusal(
      "nothing_to_roll_back",
      "the pack that came with this version serves: none is before it",
    ),
);

/**
 * Its effects are the updater's own, journalled there: the answer is stored when they are. Who hears
 * `interrupted` asks `update/status`.
 *
 * @param none what is said when there was nothing to do
 */
function asks(
  summary: string,
  ask: (updates: UpdatesPort, signal: AbortSignal) => Promise<UpdateStatus | undefined>,
  none: () => ReturnType<typeof refusal> = off,
): Command {
  return takesLong(summary, nothing, async (_args, { updates }: CommandContext) => {
    if (updates === undefined) return answers(off());
    return {
      commit: () => ({ ok: true, progress: { state: updates.status().state } }),
      run: async (_report, signal) => {
        const status = await ask(updates, signal);
        return answers(status === undefined ? none() : done(status));
      },
    };
  });
}

function off() {
  return refusal(
    "updates_off",
    "updates are not set up on this device: install.sh --trust, then an update section in the configuration",
  );
}
