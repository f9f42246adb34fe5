/** Is one vision process well? Asked every second, until it ends or must be ended. */
import type { Clock } from "../lib/clock.ts";
import { codeOf } from "../lib/fault.ts";
import type { VisionLink } from "./link.ts";

export interface LinkLimits {
  /** A ping is answered within this, or the process hangs. */
  readonly hangMs: number;
  readonly rssMaxBytes: number;
}

export interface WatchDeps {
  readonly clock: Clock;
  readonly onRss: (bytes: number) => void;
}

const PING_MS = 1000;

/** Until the process ends or must be ended, and then it has ended. @returns why, or "stopped" */
export async function watchLink(
  link: VisionLink,
  limits: LinkLimits,
  deps: WatchDeps,
  signal: AbortSignal,
): Promise<string> {
  const over = new AbortController();
  const pinging = ping(link, limits, deps, AbortSignal.any([signal, over.signal]));
  const stopped = new Promise<string>((resolve) =>
    signal.addEventListener("abort", () => resolve("stopped"), {
      once: true,
      signal: over.signal,
    }),
  );
  const reason = await Promise.race([link.ended, pinging, stopped]);
  over.abort();
  if (reason !== "stopped") {
    link.kill();
    await link.ended;
  }
  return reason;
}

async function ping(
  link: VisionLink,
  { hangMs, rssMaxBytes }: LinkLimits,
  { clock, onRss }: WatchDeps,
  signal: AbortSignal,
): Promise<string> {
  while (!signal.aborted) {
    await clock.sleep(PING_MS, signal);
    if (signal.aborted) break;
    try {
      const { rssBytes } = await link.ask({ kind: "ping" }, hangMs, signal);
      onRss(rssBytes);
      if (rssBytes > rssMaxBytes)
        return `memory: ${Math.round(rssBytes / 2 ** 20)} MiB, ${Math.round(rssMaxBytes / 2 ** 20)} are allowed`;
    } catch (thrown) {
      if (codeOf(thrown) === "vision_timeout") return `hang: no answer for ${hangMs} ms`;
      // Ended: that promise says why. Anything else is tried again.
      if (codeOf(thrown) === "vision_restarted") return link.ended;
    }
  }
  return "stopped";
}
