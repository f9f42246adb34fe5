import assert from "node:assert/strict";
import { test } from "node:test";
import type { CameraState } from "../../src/camera/camera-state.ts";
import { type HealthSources, healthChecks } from "../../src/control/health-checks.ts";
import type { CameraId, EpochMs } from "../../src/lib/brand.ts";

const camera = (status: CameraState["status"], frameAgeMs?: number): CameraState => ({
  id: "hall" as CameraId,
  status,
  since: 0 as EpochMs,
  fps: 10,
  reconnects: 0,
  stalls: 0,
  frozen: 0,
  drifts: 0,
  overshoots: 0,
  ...(frameAgeMs === undefined ? {} : { frameAgeMs }),
});

async function failing(changes: Partial<HealthSources>): Promise<readonly string[]> {
  const well: HealthSources = {
    epochMs: () => 0 as EpochMs,
    probeStore: () => undefined,
    probeGallery: async () => [],
    visionState: () => "ready",
    pingVision: async () => undefined,
    cameras: () => [camera("online", 100)],
    frameAgeMaxMs: 10_000,
  };
  const names: string[] = [];
  for (const check of healthChecks({ ...well, ...changes })) {
    try {
      if ((await check.probe(new AbortController().signal)) !== undefined) names.push(check.name);
    } catch {
      names.push(check.name);
    }
  }
  return names;
}

const broken = () => {
  throw new Error("broken");
};

test("all holds on a healthy device", async () => assert.deepEqual(await failing({}), []));

test("a store that cannot commit, a gallery that cannot search and a mute vision fail by name", async () => {
  assert.deepEqual(await failing({ probeStore: broken }), ["store"]);
  assert.deepEqual(await failing({ probeGallery: async () => broken() }), ["gallery"]);
  assert.deepEqual(await failing({ pingVision: async () => broken() }), ["vision"]);
});

test("vision in backoff is a known state, and nobody blames the cameras meanwhile", async () => {
  const away = {
    visionState: () => "backoff" as const,
    pingVision: async () => broken(),
    cameras: () => [camera("online", 60_000)],
  };
  assert.deepEqual(await failing(away), []);
});

test("an offline camera is fine; one that claims to be online without frames is not", async () => {
  assert.deepEqual(
    await failing({ cameras: () => [camera("offline", 60_000), camera("starting")] }),
    [],
  );
  assert.deepEqual(await failing({ cameras: () => [camera("online", 60_000)] }), ["cameras"]);
});
