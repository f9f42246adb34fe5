/**
 * Feeds systemd's watchdog only while every named check holds. A check reports evidence that its part
 * has made progress; a timer that merely ticks proves nothing. A broker that is away is no check.
 */
import type { Clock } from "../lib/clock.ts";
import { messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { linked } from "../lib/signals.ts";

export interface HealthCheck {
  /** Appears in the unit's status and in the log, e.g. `vision`. */
  readonly name: string;
  /** @returns undefined when it holds, else what is wrong, in words without secrets */
  readonly probe: (signal: AbortSignal) => string | undefined | Promise<string | undefined>;
}

export interface WatchdogOptions {
  /** How often to check; less than half of the unit's WatchdogSec. */
  readonly periodMs: number;
  /** A check that has not answered by then fails. */
  readonly checkTimeoutMs: number;
  /** The event loop may be late by this much. */
  readonly lagMaxMs: number;
}

export interface WatchdogDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly notifier: { readonly watchdog: () => void; readonly status: (status: string) => void };
  readonly checks: readonly HealthCheck[];
  /** Called with the names of the failing checks after each round. */
  readonly onRound?: (failing: readonly string[]) => void;
}

export interface FailingCheck {
  readonly name: string;
  readonly problem: string;
}

const LAG_PROBE_MS = 100;

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #deps: WatchdogDeps;
  #lastFailing = "";

  constructor(options: WatchdogOptions, deps: WatchdogDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.runOnce(signal);
      await this.#deps.clock.sleep(this.#options.periodMs, signal);
    }
  }

  /** One round. @returns the checks that failed; the watchdog was fed when there are none */
  async runOnce(signal: AbortSignal): Promise<readonly FailingCheck[]> {
    const results = await Promise.all([
      this.#lag(signal),
      ...this.#deps.checks.map((check) => this.#probe(check, signal)),
    ]);
    const failing = results.filter((result) => result !== undefined);
    if (signal.aborted) return failing;
    if (failing.length === 0) this.#deps.notifier.watchdog();
    this.#report(failing);
    this.#deps.onRound?.(failing.map((check) => check.name));
    return failing;
  }

  #report(failing: readonly FailingCheck[]): void {
    const text = failing.map((check) => `${check.name}: ${check.problem}`).join("; ");
    const names = failing.map((check) => check.name).join(",");
    if (names === this.#lastFailing) return;
    if (names === "") {
      this.#deps.log.info(
        { before: this.#lastFailing },
        "health checks hold again; the watchdog is fed",
      );
      this.#deps.notifier.status("running");
    } else {
      this.#deps.log.error(
        { failing: names, problems: text },
        "health checks fail; the watchdog is not fed",
      );
      this.#deps.notifier.status(`unhealthy: ${text}`);
    }
    this.#lastFailing = names;
  }

  async #lag(signal: AbortSignal): Promise<FailingCheck | undefined> {
    const { clock } = this.#deps;
    const before = clock.monotonicMs();
    await clock.sleep(LAG_PROBE_MS, signal);
    const lagMs = clock.monotonicMs() - before - LAG_PROBE_MS;
    if (lagMs < this.#options.lagMaxMs) return undefined;
    return { name: "event-loop", problem: `late by ${Math.round(lagMs)} ms` };
  }

  async #probe(check: HealthCheck, signal: AbortSignal): Promise<FailingCheck | undefined> {
    const timer = new AbortController();
    using both = linked(signal, timer.signal);
    const late = this.#deps.clock
      .sleep(this.#options.checkTimeoutMs, both.signal)
      .then(() => `no answer in ${this.#options.checkTimeoutMs} ms`);
    try {
      const problem = await Promise.race([(async () => check.probe(both.signal))(), late]);
      return problem === undefined ? undefined : { name: check.name, problem };
    } catch (thrown) {
      return { name: check.name, problem: messageOf(thrown) };
    } finally {
      timer.abort();
    }
  }
}

/** Half of `$WATCHDOG_USEC`, ms; undefined when systemd asks for no watchdog. */
export function watchdogPeriodMs(watchdogUsec: string | undefined): number | undefined {
  const usec = Number(watchdogUsec);
  return Number.isFinite(usec) && usec > 0 ? usec / 2000 : undefined;
}
