/** What must hold for the watchdog to be fed. A broker that is away is no reason to restart. */
import type { CameraState } from "../camera/supervisor.ts";
import type { EpochMs } from "../lib/brand.ts";
import type { HealthCheck } from "../system/watchdog.ts";

export interface HealthSources {
  readonly epochMs: () => EpochMs;
  /** Commits a row. @throws Fault */
  readonly probeStore: (at: EpochMs) => void;
  /** One search. */
  readonly probeGallery: () => Promise<unknown>;
  readonly visionState: () => "ready" | "starting" | "backoff";
  /** Resolves when vision answers. */
  readonly pingVision: (signal: AbortSignal) => Promise<unknown>;
  readonly cameras: () => readonly CameraState[];
  /** A camera that claims to be online must show a frame this often, ms. */
  readonly frameAgeMaxMs: number;
}

export function healthChecks(sources: HealthSources): readonly HealthCheck[] {
  return [
    {
      name: "store",
      probe: () => {
        sources.probeStore(sources.epochMs());
        return undefined;
      },
    },
    {
      name: "gallery",
      probe: async () => {
        await sources.probeGallery();
        return undefined;
      },
    },
    {
      name: "vision",
      probe: async (signal) => {
        if (sources.visionState() === "ready") await sources.pingVision(signal);
        return undefined;
      },
    },
    {
      name: "cameras",
      probe: () => {
        // While vision is being replaced nobody looks at frames; its own check speaks for it.
        if (sources.visionState() !== "ready") return undefined;
        const silent = sources
          .cameras()
          .filter((camera) => camera.status === "online" || camera.status === "degraded")
          .filter((camera) => (camera.frameAgeMs ?? 0) > sources.frameAgeMaxMs);
        return silent.length === 0
          ? undefined
          : `no frames from ${silent.map((camera) => camera.id).join(", ")}, yet not offline`;
      },
    },
  ];
}
