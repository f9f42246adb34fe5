/** The real dispatcher over the real store, with a vision that knows faces by a number in the picture. */
import { randomBytes } from "node:crypto";
import { ControlOptions } from "../../../src/config/control-options.ts";
import { Dispatcher } from "../../../src/control/dispatcher.ts";
import { EnrolmentSessions } from "../../../src/control/enrolment-sessions.ts";
import { EnrolmentOptions } from "../../../src/enrolment/options.ts";
import type { Gallery } from "../../../src/gallery/index-port.ts";
import { cosine } from "../../../src/lib/brand.ts";
import type { Log } from "../../../src/lib/log.ts";
import { cosineOf } from "../../../src/lib/vector.ts";
import { VisionOptions } from "../../../src/observation/messages.ts";
import { deviceKeyOf } from "../../../src/store/device-key.ts";
import { StoreLimits } from "../../../src/store/limits.ts";
import { Store } from "../../../src/store/store.ts";
import { createClock } from "../../../src/system/clock.ts";
import { analysisOf, FRONT, faceOf, frameOf, SPACE } from "../../control/support/rig.ts";
import { RecordingLog } from "../../support/log.ts";

/** Where {@link pngBase64} puts its tag. */
const TAG_AT = 24;
const FRAME_EVERY_MS = 5;
const GUIDED_PERSON = 3;

export function openStore(directory: string, log: Log = new RecordingLog()): Store {
  const keys = deviceKeyOf(
    Uint8Array.from({ length: 32 }, (_, index) => index),
    randomBytes,
  );
  return Store.open({ directory, keys, limits: StoreLimits.parse({}) }, { log, randomBytes });
}

export function dispatcherOver(store: Store): Dispatcher {
  const clock = createClock();
  return new Dispatcher({
    clock,
    log: new RecordingLog(),
    inbox: store.inbox,
    newStream: () => "local-stream",
    commands: {
      clock,
      options: ControlOptions.parse({}),
      reader: store.record,
      gallery: () => galleryOf(store),
      vision: {
        analyseImage: async (image) =>
          analysisOf(faceOf(new DataView(image.buffer, image.byteOffset).getUint32(TAG_AT))),
        snapshot: () => Promise.reject(new Error("no camera here")),
        collect: (_cameraId, onFrame) =>
          clock.every(FRAME_EVERY_MS, () =>
            onFrame(frameOf(clock.monotonicMs(), faceOf(GUIDED_PERSON))),
          ),
      },
      rules: () => ({ groups: [], schedules: {}, doors: [] }),
      cameraIds: () => [FRONT],
      startReplay: () => ({ kind: "empty" }),
      status: () => ({}),
      threshold: () => ({ kind: "threshold", cosine: cosine(0.5), source: "floor" }),
      // Frames follow fast, and are all alike.
      enrolment: () => EnrolmentOptions.parse({ diversityMs: 0, timeoutMs: 20_000 }),
      enrolmentLimits: () => VisionOptions.parse({}).enrolment,
      sessions: new EnrolmentSessions(),
    },
  });
}

/** Reads the record itself: nothing in memory can hide what the disk says. */
function galleryOf(store: Store): Gallery {
  return {
    spaceId: SPACE,
    dimension: 16,
    identityCount: store.record.counts().identities,
    templateCount: store.record.counts().templates,
    search: async (vector, k) =>
      [...store.record.templates(SPACE)]
        .map((template) => ({
          identityId: template.identityId,
          templateId: template.id,
          cosine: cosine(cosineOf(vector, template.vector)),
        }))
        .sort((a, b) => b.cosine - a.cosine)
        .slice(0, k),
  };
}
