/**
 * One person at one door: one grant per visit. The cool-down begins when the broker has acknowledged the
 * grant; a grant that was lost expires and may be repeated while the person is still there.
 */
import type { MonotonicMs, TrackId } from "../lib/brand.ts";
import type { DecisionOptions } from "./options.ts";

export interface Visit {
  /** A grant on its way to the broker. */
  readonly pending?: {
    readonly decisionId: string;
    readonly trackId: TrackId;
    readonly expiresAt: MonotonicMs;
  };
  /** The last grant that arrived. */
  readonly granted?: { readonly trackId: TrackId; readonly coolUntil: MonotonicMs };
  readonly denied?: { readonly trackId: TrackId; readonly quietUntil: MonotonicMs };
}

export const NO_VISIT: Visit = {};

type VisitOptions = Pick<DecisionOptions, "coolDownMs" | "decisionTtlMs">;

/** Whether anything is to be decided about the person now, or has been decided already. */
export function mayDecide(visit: Visit, trackId: TrackId, now: MonotonicMs): boolean {
  const { pending, granted, denied } = visit;
  if (pending !== undefined && now < pending.expiresAt) return false;
  if (granted !== undefined && (granted.trackId === trackId || now < granted.coolUntil))
    return false;
  return denied === undefined || denied.trackId !== trackId || now >= denied.quietUntil;
}

export function granted(
  visit: Visit,
  decisionId: string,
  trackId: TrackId,
  now: MonotonicMs,
  options: VisitOptions,
): Visit {
  const { denied: _over, ...rest } = visit;
  return {
    ...rest,
    pending: { decisionId, trackId, expiresAt: (now + options.decisionTtlMs) as MonotonicMs },
  };
}

export function denied(
  visit: Visit,
  trackId: TrackId,
  now: MonotonicMs,
  options: VisitOptions,
): Visit {
  return { ...visit, denied: { trackId, quietUntil: (now + options.coolDownMs) as MonotonicMs } };
}

/** An acknowledgement that comes after the grant expired, or of another grant, changes nothing. */
export function acknowledged(
  visit: Visit,
  decisionId: string,
  now: MonotonicMs,
  options: VisitOptions,
): Visit {
  const { pending, ...rest } = visit;
  if (pending === undefined || pending.decisionId !== decisionId || now >= pending.expiresAt)
    return visit;
  return {
    ...rest,
    granted: { trackId: pending.trackId, coolUntil: (now + options.coolDownMs) as MonotonicMs },
  };
}
