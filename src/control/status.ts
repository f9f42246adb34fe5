/** What the device says of itself: `info` (retained), `health` (every minute), `device/status` (on demand). */
import type { CameraState } from "../camera/supervisor.ts";
import { packUseOf } from "../config/pack-use.ts";
import type { Config } from "../config/schema.ts";
import type { Pack } from "../embedding/pack.ts";
import type { EpochMs } from "../lib/brand.ts";
import type { Threshold } from "../match/threshold.ts";
import type { PackLoaded } from "../observation/messages.ts";
import { rfc3339 } from "../system/clock.ts";
import type { StatusReport } from "./deps.ts";

export interface InfoSources {
  readonly version: string;
  readonly bootId: string;
  readonly startedAt: EpochMs;
  readonly pack: Pack;
  readonly config: Pick<Config, "insecure">;
  /** As the serving vision process loaded it; undefined while there is none. */
  readonly loaded: PackLoaded | undefined;
  /** The device's signing key, raw, base64. Pin it out of band: what a broker says proves nothing. */
  readonly publicKey: string;
  readonly kid: string;
}

/** A provider that was asked for first and is not the one that serves is a degraded state, said aloud. */
export function infoOf(sources: InfoSources): Readonly<Record<string, unknown>> {
  const { version, bootId, startedAt, pack, config, loaded, publicKey, kid } = sources;
  return {
    version,
    bootId,
    startedAt: rfc3339(startedAt),
    pack: pack.id,
    releaseCounter: pack.releaseCounter,
    space: pack.embedder.spaceId,
    demoOnly: pack.demoOnly,
    opensDoors: packUseOf(pack, config).opensDoors,
    provider: loaded?.provider ?? null,
    fallback: (loaded?.refused.length ?? 0) > 0,
    refusedProviders: loaded?.refused ?? [],
    capabilities: ["decision", "event", "event-replay", "enrolment-image", "enrolment-guided"],
    deviceKey: { kid, publicKey },
  };
}

export interface StatusSources extends InfoSources {
  readonly now: EpochMs;
  readonly cameras: readonly CameraState[];
  readonly vision: { readonly state: string; readonly restarts: number };
  readonly gallery: Readonly<Record<string, unknown>>;
  readonly threshold: Threshold;
  readonly broker: { readonly connected: boolean; readonly reconnects: number };
  readonly doorkeeper: Readonly<Record<string, number>>;
  readonly events: { readonly first: number; readonly last: number } | undefined;
  readonly clockTrusted: boolean;
  readonly failingChecks: readonly string[];
  readonly rssBytes: number;
}

export function statusOf(sources: StatusSources): StatusReport {
  const {
    now,
    startedAt,
    cameras,
    vision,
    gallery,
    threshold,
    broker,
    doorkeeper,
    events,
    clockTrusted,
    failingChecks,
    rssBytes,
  } = sources;
  return {
    ...infoOf(sources),
    time: rfc3339(now),
    uptimeSeconds: Math.round((now - startedAt) / 1000),
    cameras: cameras.map(cameraReport),
    vision,
    gallery,
    threshold:
      threshold.kind === "threshold"
        ? {
            cosine: Number(threshold.cosine.toFixed(4)),
            source: threshold.source,
            ...(threshold.fmr === undefined ? {} : { fmr: threshold.fmr }),
          }
        : { none: threshold.reason },
    broker,
    doorkeeper,
    events: events ?? null,
    clockTrusted,
    failingChecks,
    rssBytes,
  };
}

export function cameraReport(camera: CameraState): Readonly<Record<string, unknown>> {
  const { id, fps, frameAgeMs, since, ...rest } = camera;
  return {
    camera: id,
    ...rest,
    since: rfc3339(since),
    fps: Number(fps.toFixed(1)),
    ...(frameAgeMs === undefined ? {} : { frameAgeMs: Math.round(frameAgeMs) }),
  };
}
