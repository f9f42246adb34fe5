/** Child processes of tests: their end, however early it comes. */
import type { ChildProcess } from "node:child_process";
import { within } from "./waiting.ts";

export const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;

/** Resolves once the process has exited, at once when it has already. Never rejects. */
export function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (hasEnded(child)) return resolve();
    child.once("exit", () => resolve());
    // Without a pid it never started, and no exit follows.
    child.once("error", () => child.pid === undefined && resolve());
  });
}

/** Sends the signal and waits for the exit. @throws when the process lives on */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child) || child.pid === undefined) return;
  const gone = exited(child);
  child.kill(signal);
  await within(gone, `${child.spawnfile} (pid ${child.pid}) ends after ${signal}`);
}
