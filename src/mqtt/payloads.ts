/** The JSON texts that this device signs or says. */

import type { Decision } from "../decision/decision.ts";
import type { EpochMs } from "../lib/brand.ts";
import type { OutboxEvent } from "./outbox-port.ts";

const rfc3339 = (at: EpochMs): string => new Date(at).toISOString();

/** The signed part of the live feed. A consumer acts on it only before `expiresAt`, once per `id`. */
export function decisionPayload(decision: Decision, device: string): string {
  return JSON.stringify({
    schema: 1,
    kind: "decision",
    device,
    id: decision.id,
    issuedAt: rfc3339(decision.issuedAt),
    expiresAt: rfc3339(decision.expiresAt),
    door: decision.doorId,
    camera: decision.cameraId,
    outcome: decision.outcome,
    reason: decision.reason,
    ...(decision.identityId === undefined ? {} : { identity: decision.identityId }),
    scoreBand: decision.scoreBand,
    ...(decision.outcome === "deny" && decision.quality !== undefined
      ? { quality: decision.quality }
      : {}),
  });
}

/** The signed part of the reliable feed: history, never to be acted upon. */
export function eventPayload(event: OutboxEvent, device: string, replayed: boolean): string {
  return JSON.stringify({
    schema: 1,
    kind: "event",
    device,
    seq: event.seq,
    type: event.type,
    at: rfc3339(event.at),
    actionable: false,
    ...(replayed ? { replayed: true } : {}),
    body: bodyOf(event.body),
  });
}

/** One unreadable row must not stop the feed behind it. */
function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return { unreadable: true };
  }
}

export interface Presence {
  readonly state: "online" | "offline";
  readonly bootId: string;
  readonly since?: EpochMs;
}

export function presencePayload(presence: Presence): string {
  const { state, bootId, since } = presence;
  return JSON.stringify({
    schema: 1,
    state,
    bootId,
    ...(since === undefined ? {} : { since: rfc3339(since) }),
  });
}
