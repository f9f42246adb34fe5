/**
 * Is the wall clock to be believed? A box without a battery starts in 1970 or at its build date; whoever
 * can set the clock back can revive an expired permission. Time is trusted when a time service says so,
 * or, where none is present, when it is not before anything that this device has already seen.
 */
import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { EpochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";

export type ClockTrust =
  | { readonly kind: "trusted"; readonly by: "synchronized" | "plausible" }
  | {
      readonly kind: "untrusted";
      readonly reason: "before_build" | "went_back" | "not_synchronized";
    };

export interface ClockTrustOptions {
  /** No honest clock is earlier. */
  readonly builtAt: EpochMs;
  /** Refuse a clock that no time service has confirmed since boot. */
  readonly requireSynchronized: boolean;
  /** Steps back up to this much are a correction, not an attack. */
  readonly toleranceMs: number;
}

/** Pure part. @param seenMax the latest time this device has stored, if any */
export function judgeClock(
  now: EpochMs,
  seenMax: EpochMs | undefined,
  synchronized: boolean,
  options: ClockTrustOptions,
): ClockTrust {
  if (now < options.builtAt) return { kind: "untrusted", reason: "before_build" };
  // A time service outweighs what was seen: else one wrong step ahead would distrust the right time for ever.
  if (synchronized) return { kind: "trusted", by: "synchronized" };
  if (seenMax !== undefined && now < seenMax - options.toleranceMs)
    return { kind: "untrusted", reason: "went_back" };
  if (options.requireSynchronized) return { kind: "untrusted", reason: "not_synchronized" };
  return { kind: "trusted", by: "plausible" };
}

/** systemd-timesyncd touches it at each synchronisation; other services can be told to. */
const SYNCHRONIZED_FILE = "/run/systemd/timesync/synchronized";

/** Keeps the latest time seen in a file, written at most once an hour and on dispose. */
export class ClockTrustKeeper implements AsyncDisposable {
  readonly #options: ClockTrustOptions & {
    readonly path: string;
    readonly synchronizedFile?: string;
  };
  readonly #deps: { readonly clock: Clock; readonly log: Log };
  #seenMax: EpochMs | undefined;
  #writtenAt: number | undefined;
  #trust: ClockTrust = { kind: "untrusted", reason: "not_synchronized" };

  private constructor(
    options: ClockTrustOptions & { readonly path: string; readonly synchronizedFile?: string },
    deps: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#options = options;
    this.#deps = deps;
  }

  static async open(
    options: ClockTrustOptions & { readonly path: string; readonly synchronizedFile?: string },
    deps: { readonly clock: Clock; readonly log: Log },
  ): Promise<ClockTrustKeeper> {
    const keeper = new ClockTrustKeeper(options, deps);
    keeper.#seenMax = await keeper.#load();
    await keeper.runOnce();
    return keeper;
  }

  get trust(): ClockTrust {
    return this.#trust;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#deps.clock.sleep(10_000, signal);
      if (!signal.aborted) await this.runOnce();
    }
  }

  async runOnce(): Promise<ClockTrust> {
    const now = this.#deps.clock.epochMs();
    const before = this.#trust;
    this.#trust = judgeClock(now, this.#seenMax, await this.#synchronized(), this.#options);
    if (this.#trust.kind === "trusted") {
      if (this.#trust.by === "synchronized" || this.#seenMax === undefined || now > this.#seenMax)
        this.#seenMax = now;
      if (this.#writtenAt === undefined || now - this.#writtenAt > 3_600_000) await this.#save(now);
    } else if (before.kind === "trusted" || before.reason !== this.#trust.reason) {
      this.#deps.log.warn(
        { reason: this.#trust.reason },
        "the wall clock is not trusted: set it, or wait for the time service",
      );
    }
    return this.#trust;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#seenMax !== undefined && this.#trust.kind === "trusted")
      await this.#save(this.#deps.clock.epochMs());
  }

  async #synchronized(): Promise<boolean> {
    try {
      await access(this.#options.synchronizedFile ?? SYNCHRONIZED_FILE);
      return true;
    } catch {
      return false;
    }
  }

  async #load(): Promise<EpochMs | undefined> {
    try {
      const value = Number(await readFile(this.#options.path, "utf8"));
      return Number.isFinite(value) && value > 0 ? (value as EpochMs) : undefined;
    } catch (thrown) {
      if (codeOf(thrown) !== "ENOENT")
        this.#deps.log.warn({ code: codeOf(thrown) }, "the latest time seen cannot be read");
      return undefined;
    }
  }

  async #save(now: EpochMs): Promise<void> {
    this.#writtenAt = now;
    const partial = `${this.#options.path}.partial`;
    try {
      await mkdir(dirname(this.#options.path), { recursive: true });
      await writeFile(partial, String(Math.floor(this.#seenMax ?? now)), { mode: 0o600 });
      await rename(partial, this.#options.path);
    } catch (thrown) {
      this.#deps.log.warn({ code: codeOf(thrown) }, "the latest time seen cannot be written");
    }
  }
}
