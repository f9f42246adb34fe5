/**
 * Is the stream of one decoder well? A reducer over what vision reports and how time passes. Judges by
 * evidence only: while vision is silent, nothing is held against the camera.
 */
import { CLOCK_SKEW } from "../frame/stream-time.ts";
import type { MonotonicMs } from "../lib/brand.ts";
import type { CameraHealthMessage } from "../observation/messages.ts";

export type RestartReason =
  | "no_frames"
  | "stalled"
  | "frozen"
  | "drifted"
  | "overshot"
  | "vision_away";
export type Verdict =
  | { readonly kind: "keep" }
  | { readonly kind: "restart"; readonly reason: RestartReason };

export type WatchInput =
  | { readonly kind: "health"; readonly health: CameraHealthMessage }
  | { readonly kind: "vision-lost" }
  | { readonly kind: "vision-back" }
  | { readonly kind: "tick" };

export interface WatchLimits {
  readonly connectMs: number;
  readonly stallMs: number;
  /** From here the picture counts as frozen; 0 = off. */
  readonly frozenMs: number;
  /** From here a frozen picture is reason to reconnect: `frozenMs`, longer when that did not help before. */
  readonly frozenRestartMs: number;
  readonly driftMaxMs: number;
  readonly fps: number;
  readonly overshootFactor: number;
  /** How long the decoder runs on without anybody reading its frames. */
  readonly visionAwayMaxMs: number;
}

export interface WatchState {
  readonly attachedAt: MonotonicMs;
  readonly healthAt: MonotonicMs | undefined;
  readonly visionAwayAt: MonotonicMs | undefined;
  /** When the newest frame was captured; before the first, when the wait for it began. */
  readonly progressAt: MonotonicMs;
  readonly firstFrameAt: MonotonicMs | undefined;
  /** Lowest drift seen, creeping up with {@link CLOCK_SKEW}. */
  readonly driftFloor: { readonly ms: number; readonly at: MonotonicMs } | undefined;
  readonly driftMs: number;
  readonly driftStrikes: number;
  readonly overshootStrikes: number;
  readonly fps: number;
  readonly ageMs: number | undefined;
  readonly frozen: boolean;
  /** The picture changed for long enough to say that it is not frozen. */
  readonly moved: boolean;
}

const DRIFT_STRIKES = 2;
const OVERSHOOT_STRIKES = 3;
/** What was held up on the line and comes at once is one report of too many frames; two are a state. */
const OVERSHOOT_DEGRADED_STRIKES = 2;
/** Vision reports every second; older news is no news. */
export const HEALTH_FRESH_MS = 2500;

const KEEP: Verdict = { kind: "keep" };
const restart = (reason: RestartReason): Verdict => ({ kind: "restart", reason });

export function startWatch(now: MonotonicMs): WatchState {
  return {
    attachedAt: now,
    healthAt: undefined,
    visionAwayAt: undefined,
    progressAt: now,
    firstFrameAt: undefined,
    driftFloor: undefined,
    driftMs: 0,
    driftStrikes: 0,
    overshootStrikes: 0,
    fps: 0,
    ageMs: undefined,
    frozen: false,
    moved: false,
  };
}

export function step(
  state: WatchState,
  input: WatchInput,
  now: MonotonicMs,
  limits: WatchLimits,
): { readonly state: WatchState; readonly verdict: Verdict } {
  switch (input.kind) {
    case "vision-lost":
      return {
        state: { ...state, visionAwayAt: state.visionAwayAt ?? now, healthAt: undefined },
        verdict: KEEP,
      };
    case "vision-back":
      // The new process measures drift anew, and has had no chance to see a frame yet.
      return {
        state: {
          ...state,
          visionAwayAt: undefined,
          healthAt: undefined,
          progressAt: now,
          driftFloor: undefined,
          driftStrikes: 0,
        },
        verdict: KEEP,
      };
    case "tick":
      return { state, verdict: awayTooLong(state, now, limits) ? restart("vision_away") : KEEP };
    case "health": {
      if (state.visionAwayAt !== undefined) return { state, verdict: KEEP };
      const next = measured(state, input.health, now, limits);
      return { state: next, verdict: judge(next, input.health, now, limits) };
    }
  }
}

function awayTooLong(state: WatchState, now: MonotonicMs, limits: WatchLimits): boolean {
  return state.visionAwayAt !== undefined && now - state.visionAwayAt >= limits.visionAwayMaxMs;
}

function measured(
  state: WatchState,
  health: CameraHealthMessage,
  now: MonotonicMs,
  limits: WatchLimits,
): WatchState {
  const frameAt = health.lastFrameAt?.monotonicMs;
  // A frame of the decoder before, or one from the future, proves nothing.
  const isNew = frameAt !== undefined && frameAt > state.progressAt && frameAt <= now;
  const progressAt = isNew ? frameAt : state.progressAt;
  const firstFrameAt = state.firstFrameAt ?? (isNew ? frameAt : undefined);
  const creep =
    state.driftFloor === undefined
      ? Number.POSITIVE_INFINITY
      : state.driftFloor.ms + (now - state.driftFloor.at) * CLOCK_SKEW;
  const floorMs = Math.min(creep, health.driftMs);
  const driftMs = firstFrameAt === undefined ? 0 : health.driftMs - floorMs;
  const frozen =
    limits.frozenMs > 0 && firstFrameAt !== undefined && health.frozenMs >= limits.frozenMs;
  const watchedLongEnough =
    firstFrameAt !== undefined && now - firstFrameAt >= limits.frozenMs + HEALTH_FRESH_MS;
  return {
    ...state,
    healthAt: now,
    progressAt,
    firstFrameAt,
    driftFloor: firstFrameAt === undefined ? undefined : { ms: floorMs, at: now },
    driftMs,
    driftStrikes: limits.driftMaxMs > 0 && driftMs > limits.driftMaxMs ? state.driftStrikes + 1 : 0,
    overshootStrikes:
      limits.overshootFactor > 0 && health.fps > limits.fps * limits.overshootFactor
        ? state.overshootStrikes + 1
        : 0,
    fps: firstFrameAt === undefined ? 0 : health.fps,
    ageMs: health.ageMs,
    frozen,
    moved: state.moved || (watchedLongEnough && !frozen),
  };
}

function judge(
  state: WatchState,
  health: CameraHealthMessage,
  now: MonotonicMs,
  limits: WatchLimits,
): Verdict {
  if (state.firstFrameAt === undefined)
    return now - state.progressAt >= limits.connectMs ? restart("no_frames") : KEEP;
  if (now - state.progressAt >= limits.stallMs) return restart("stalled");
  if (state.frozen && health.frozenMs >= limits.frozenRestartMs) return restart("frozen");
  if (state.driftStrikes >= DRIFT_STRIKES) return restart("drifted");
  if (state.overshootStrikes >= OVERSHOOT_STRIKES) return restart("overshot");
  return KEEP;
}

/** Frames flow, but not as they should. */
export function isDegraded(state: WatchState, now: MonotonicMs, limits: WatchLimits): boolean {
  if (state.visionAwayAt !== undefined) return true;
  if (state.healthAt === undefined || now - state.healthAt > HEALTH_FRESH_MS) return true;
  if (state.driftStrikes > 0 || state.overshootStrikes >= OVERSHOOT_DEGRADED_STRIKES) return true;
  return now - state.progressAt >= Math.max(1500, limits.stallMs / 2);
}
