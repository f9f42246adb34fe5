/** Comparisons at one door within a minute: each one is another chance of a false match. */
import type { MonotonicMs } from "../lib/brand.ts";
import type { DecisionOptions } from "./options.ts";

const MINUTE_MS = 60_000;

export interface Attempts {
  /** Oldest first, at most `attemptsPerDoorPerMinuteMax`. */
  readonly times: readonly MonotonicMs[];
  readonly pausedUntil?: MonotonicMs;
}

export const NO_ATTEMPTS: Attempts = { times: [] };

export function isPaused(attempts: Attempts, now: MonotonicMs): boolean {
  return attempts.pausedUntil !== undefined && now < attempts.pausedUntil;
}

/** Counts one. At the limit the door pauses and the count begins anew. While it pauses nothing is counted. */
export function attempted(
  attempts: Attempts,
  now: MonotonicMs,
  options: Pick<DecisionOptions, "attemptsPerDoorPerMinuteMax" | "attemptsPauseMs">,
): Attempts {
  if (isPaused(attempts, now)) return attempts;
  const times = [...attempts.times.filter((time) => time > now - MINUTE_MS), now];
  if (times.length < options.attemptsPerDoorPerMinuteMax) return { times };
  return { times: [], pausedUntil: (now + options.attemptsPauseMs) as MonotonicMs };
}
