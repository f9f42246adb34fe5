/** The device itself: `device/status`, `gallery/stats`, `event/replay`, `camera/snapshot`. */
import { z } from "zod";
import { Fault } from "../../lib/fault.ts";
import { CameraIdSchema } from "../../lib/id.ts";
import { rfc3339 } from "../../system/clock.ts";
import { done, reads, refusal } from "../command.ts";

const nothing = z.strictObject({});

export const deviceStatus = reads(
  "Says how the device is: versions, pack, provider, cameras, queues",
  nothing,
  async (_args, context) => {
    return done(context.status());
  },
);

export const galleryStats = reads(
  "Counts identities and templates",
  nothing,
  async (_args, context) => {
    const gallery = context.gallery();
    const active =
      gallery === undefined
        ? {}
        : {
            space: {
              id: gallery.spaceId,
              dimension: gallery.dimension,
              identities: gallery.identityCount,
              templates: gallery.templateCount,
            },
          };
    return done({ ...context.reader.counts(), ...active });
  },
);

const replay = z.strictObject({
  fromSeq: z.int().min(1).meta({ description: "first event wanted" }),
  limit: z.int().min(1).max(10_000).default(1000).meta({ description: "most events sent again" }),
});

/** A read: what is sent again was said before, is marked `replayed`, and is never to be acted upon. */
export const eventReplay = reads(
  "Sends kept events again on the reliable feed",
  replay,
  async ({ fromSeq, limit }, context) => {
    const started = context.startReplay(fromSeq, limit);
    switch (started.kind) {
      case "started":
        return done({ first: started.first, last: started.last });
      case "empty":
        return done({ first: null, last: null });
      case "busy":
        return refusal("busy", "a replay is running: ask again when it has ended");
    }
  },
);

const snapshot = z.strictObject({ cameraId: CameraIdSchema.meta({ description: "which camera" }) });

export const cameraSnapshot = reads(
  "Takes a picture; off unless control.snapshot.enabled",
  snapshot,
  async ({ cameraId }, context, signal) => {
    if (!context.options.snapshot.enabled) {
      return refusal(
        "snapshot_disabled",
        "pictures on demand are off on this device: control.snapshot.enabled turns them on",
      );
    }
    if (!context.cameraIds().includes(cameraId))
      return unknownCamera(cameraId, context.cameraIds());
    const { jpeg, capturedAt } = await context.vision.snapshot(cameraId, signal);
    if (jpeg.byteLength === 0)
      throw new Fault(
        "camera_offline",
        `camera "${cameraId}" has no picture now: see device/status`,
        { retry: "later" },
      );
    return done({
      cameraId,
      capturedAt: rfc3339(capturedAt.epochMs),
      jpeg: Buffer.from(jpeg).toString("base64"),
    });
  },
);

export function unknownCamera(cameraId: string, known: readonly string[]) {
  const names =
    known.length === 0 ? "none is configured" : `name one of ${known.slice(0, 10).join(", ")}`;
  return refusal("unknown_camera", `there is no camera "${cameraId}": ${names}`);
}
