/** The doorkeeper's memory between frames: who is being let in where, and which doors pause. Bounded; time is passed in. */
import type { DoorId, IdentityId, MonotonicMs, TrackId } from "../lib/brand.ts";
import { type Attempts, attempted, isPaused, NO_ATTEMPTS } from "./attempts.ts";
import type { DecisionOptions } from "./options.ts";
import { acknowledged, denied, granted, mayDecide, NO_VISIT, type Visit } from "./visit.ts";

type BookOptions = Pick<
  DecisionOptions,
  "attemptsPerDoorPerMinuteMax" | "attemptsPauseMs" | "coolDownMs" | "decisionTtlMs" | "visitsMax"
>;

interface DoorState {
  readonly attempts: Attempts;
  /** Tracks that were told of the present pause. */
  readonly told: Set<TrackId>;
}

export class Book {
  readonly #options: BookOptions;
  /** As many as the rules name. */
  readonly #doors = new Map<DoorId, DoorState>();
  /** By door and identity, least recently decided first. Forgetting one costs a repeated grant, never a wrong one. */
  readonly #visits = new Map<string, Visit>();

  constructor(options: BookOptions) {
    this.#options = options;
  }

  isPaused(doorId: DoorId, now: MonotonicMs): boolean {
    return isPaused(this.#door(doorId).attempts, now);
  }

  /** One more comparison that might have matched by chance. */
  attempted(doorId: DoorId, now: MonotonicMs): void {
    const door = this.#door(doorId);
    const attempts = attempted(door.attempts, now, this.#options);
    if (attempts !== door.attempts)
      this.#doors.set(doorId, {
        attempts,
        told: attempts.pausedUntil === undefined ? door.told : new Set(),
      });
  }

  /** True once per track and pause. */
  tell(doorId: DoorId, trackId: TrackId): boolean {
    const { told } = this.#door(doorId);
    if (told.has(trackId)) return false;
    told.add(trackId);
    return true;
  }

  mayDecide(doorId: DoorId, identityId: IdentityId, trackId: TrackId, now: MonotonicMs): boolean {
    return mayDecide(this.#visit(doorId, identityId), trackId, now);
  }

  granted(
    doorId: DoorId,
    identityId: IdentityId,
    trackId: TrackId,
    decisionId: string,
    now: MonotonicMs,
  ): void {
    this.#keep(
      doorId,
      identityId,
      granted(this.#visit(doorId, identityId), decisionId, trackId, now, this.#options),
    );
  }

  denied(doorId: DoorId, identityId: IdentityId, trackId: TrackId, now: MonotonicMs): void {
    this.#keep(
      doorId,
      identityId,
      denied(this.#visit(doorId, identityId), trackId, now, this.#options),
    );
  }

  /** @returns false when no grant waits for this acknowledgement any more */
  acknowledged(decisionId: string, now: MonotonicMs): boolean {
    for (const [key, visit] of this.#visits) {
      if (visit.pending?.decisionId !== decisionId) continue;
      const next = acknowledged(visit, decisionId, now, this.#options);
      this.#visits.set(key, next);
      return next !== visit;
    }
    return false;
  }

  get visitCount(): number {
    return this.#visits.size;
  }

  #door(doorId: DoorId): DoorState {
    const known = this.#doors.get(doorId);
    if (known !== undefined) return known;
    const door: DoorState = { attempts: NO_ATTEMPTS, told: new Set() };
    this.#doors.set(doorId, door);
    return door;
  }

  #visit(doorId: DoorId, identityId: IdentityId): Visit {
    return this.#visits.get(keyOf(doorId, identityId)) ?? NO_VISIT;
  }

  #keep(doorId: DoorId, identityId: IdentityId, visit: Visit): void {
    const key = keyOf(doorId, identityId);
    this.#visits.delete(key);
    this.#visits.set(key, visit);
    if (this.#visits.size <= this.#options.visitsMax) return;
    const oldest = this.#visits.keys().next();
    if (!oldest.done) this.#visits.delete(oldest.value);
  }
}

/** Ids hold no slash. */
function keyOf(doorId: DoorId, identityId: IdentityId): string {
  return `${doorId}/${identityId}`;
}
