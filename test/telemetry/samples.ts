import type { Decision } from "../../src/decision/decision.ts";
import type { CameraId, DoorId, TrackId } from "../../src/lib/brand.ts";
import { epochMs } from "../../src/lib/brand.ts";

export const cameraIdOf = (id: string): CameraId => id as CameraId;

export const decisionFor = (door: string): Decision => ({
  id: "d-1",
  doorId: door as DoorId,
  cameraId: cameraIdOf("front"),
  trackId: "t-1" as TrackId,
  issuedAt: epochMs(0),
  expiresAt: epochMs(5000),
  scoreBand: "low",
  frames: 3,
  outcome: "deny",
  reason: "unknown",
});
