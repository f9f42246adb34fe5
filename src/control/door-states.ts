/**
 * `door/<id>/state`: what this device last said of a door, not what the door's contact says. For eyes and
 * dashboards; nobody acts on it.
 */
import type { Decision } from "../decision/decision.ts";
import type { AccessRules, DoorMode } from "../decision/rules.ts";
import type { DoorId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";

export interface DoorStatesDeps {
  readonly clock: Clock;
  readonly mode: (doorId: DoorId) => DoorMode;
  readonly publish: (doorId: DoorId, state: "locked" | "unlocked" | "lockdown") => void;
}

export class DoorStates {
  readonly #deps: DoorStatesDeps;
  /** The grant that holds each door open, if any. */
  readonly #open = new Map<DoorId, string>();

  constructor(deps: DoorStatesDeps) {
    this.#deps = deps;
  }

  apply(rules: AccessRules): void {
    for (const door of rules.doors) this.#tell(door.id);
  }

  /** A grant that the broker has: unlocked until it expires or a newer one does. */
  granted(decision: Decision, signal: AbortSignal): void {
    const { doorId, id } = decision;
    this.#open.set(doorId, id);
    this.#tell(doorId);
    void this.#deps.clock
      .sleep(Math.max(0, decision.expiresAt - this.#deps.clock.epochMs()), signal)
      .then(() => {
        if (signal.aborted || this.#open.get(doorId) !== id) return;
        this.#open.delete(doorId);
        this.#tell(doorId);
      });
  }

  #tell(doorId: DoorId): void {
    const mode = this.#deps.mode(doorId);
    this.#deps.publish(
      doorId,
      mode === "lockdown" ? "lockdown" : this.#open.has(doorId) ? "unlocked" : "locked",
    );
  }
}
