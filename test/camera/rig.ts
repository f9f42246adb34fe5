/** Cameras under test: real decoders, real clock, temporary runtime directory. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CameraOptions } from "../../src/camera/options.ts";
import { Camera, type FrameSink } from "../../src/camera/supervisor.ts";
import { createClock } from "../../src/system/clock.ts";
import { type LogEntry, RecordingLog } from "../support/log.ts";
import { Eyes } from "./eyes.ts";

export interface Rig extends AsyncDisposable {
  readonly log: readonly LogEntry[];
  readonly eyes: Eyes;
  readonly start: (options: Record<string, unknown>, frames?: FrameSink) => Camera;
}

export function createRig(): Rig {
  const runtimeDirectory = mkdtempSync(join(tmpdir(), "ostiary-camera-"));
  const log = new RecordingLog();
  const cameras = new Map<string, Camera>();
  const eyes = new Eyes({
    onHealth: (health) => cameras.get(health.cameraId)?.onHealth(health),
    onHeader: (id, bytes) => cameras.get(id)?.onStreamHeader(bytes),
  });
  const stop = new AbortController();
  return {
    log: log.entries,
    eyes,
    start: (options, frames = eyes) => {
      const parsed = CameraOptions.parse({
        widthPx: 320,
        heightPx: 180,
        backoff: { firstMs: 100 },
        ...options,
      });
      const camera = new Camera(parsed, {
        clock: createClock(),
        log,
        random: Math.random,
        runtimeDirectory,
        frames,
      });
      cameras.set(camera.id, camera);
      void camera.run(stop.signal);
      return camera;
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      for (const camera of cameras.values()) await camera[Symbol.asyncDispose]();
      eyes[Symbol.dispose]();
      rmSync(runtimeDirectory, { recursive: true, force: true });
    },
  };
}

/** Waits until `condition` holds; fails loudly when it never does. */
export async function until(
  what: string,
  condition: () => boolean,
  timeoutMs = 30_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}`);
    await sleep(20);
  }
}

export function isAlive(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.[0] !== "Z";
  } catch {
    return false;
  }
}

/** Command lines and environments of every process that this user can read, the RTSP server's and our own apart. */
export function processTexts(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return commandLine.includes("rtsp-server.py")
          ? []
          : [commandLine, readFileSync(`/proc/${pid}/environ`, "utf8")];
      } catch {
        return [];
      }
    });
}
