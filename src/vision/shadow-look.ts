/** A frame as two packs see it: what the serving one saw, and the whole face step of another. */
import { measure, reasonsAgainst } from "../face/quality.ts";
import { Fault } from "../lib/fault.ts";
import type {
  ObserveMessage,
  SampledFrame,
  ShadowFace,
  ShadowLook,
  VisionOptions,
} from "../observation/messages.ts";
import type { Models } from "./models.ts";

/** What was seen anyway: nothing is computed again. */
export function lookOf({ spaceId, observations, timings }: ObserveMessage): ShadowLook {
  return {
    spaceId,
    totalMs: timings.totalMs,
    faces: observations.map(({ face, quality, embedding }) => ({
      box: face.box,
      reasons: quality.reasons,
      ...(embedding === undefined ? {} : { embedding }),
    })),
  };
}

/** Detects, aligns, and embeds every usable face. @throws Fault `frame_invalid` */
export async function lookAt(
  models: Models,
  { probe }: Pick<VisionOptions, "probe">,
  { pixels, widthPx, heightPx }: SampledFrame,
  nowMs: () => number,
): Promise<ShadowLook> {
  if (pixels.byteLength !== (widthPx * heightPx * 3) / 2)
    throw new Fault(
      "frame_invalid",
      `a sampled frame of ${widthPx}×${heightPx} has ${pixels.byteLength} bytes`,
    );
  const startedMs = nowMs();
  const picture = models.nv12(pixels, widthPx, heightPx);
  const faces: ShadowFace[] = [];
  for (const face of await models.detect(picture)) {
    const again = await models.lookAgain(picture, face);
    const { box, landmarks } = again ?? face;
    const aligned = models.align(picture, landmarks);
    if (aligned === undefined) continue;
    const measures = measure({ box, landmarks, score: 1 }, aligned.statistics, widthPx, heightPx);
    const reasons = [...reasonsAgainst(measures, probe, again !== undefined)];
    const embedding = reasons.length === 0 ? await models.embed(aligned.crop) : undefined;
    faces.push({ box, reasons, ...(embedding === undefined ? {} : { embedding }) });
  }
  return { spaceId: models.loaded.spaceId, faces, totalMs: nowMs() - startedMs };
}
