/** The shadow run: sampled frames go to the candidate, both answers to the statistics, and nothing else anywhere. */
import type { Gallery } from "../gallery/index-port.ts";
import type { IdentityId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import { Latest } from "../lib/latest.ts";
import { isUnit } from "../lib/vector.ts";
import { matchOf } from "../match/matching.ts";
import type { MatchOptions } from "../match/options.ts";
import type { Threshold } from "../match/threshold.ts";
import type { SampledFrame, SampleMessage, ShadowLook } from "../observation/messages.ts";
import type { ShadowStats } from "../release/report.ts";
import {
  addFrame,
  NO_SHADOW,
  type ShadowFace,
  type ShadowOptions,
  shadowStatsOf,
  shadowVerdict,
  shedFrames,
} from "../release/shadow.ts";

export interface Side {
  readonly gallery: Gallery;
  readonly threshold: Threshold;
}

export interface ShadowingDeps {
  readonly clock: Clock;
  readonly options: ShadowOptions;
  readonly match: () => MatchOptions;
  /** Asked for each frame: what serves may change. */
  readonly active: () => Side;
  readonly candidate: () => Side;
  /** Whether that person has a template in the candidate's space. */
  readonly isCovered: (id: IdentityId) => boolean;
  readonly look: (frame: SampledFrame, signal: AbortSignal) => Promise<ShadowLook>;
  /** Has samples delivered until the returned function is called. */
  readonly samples: (onSample: (message: SampleMessage) => void) => () => void;
}

const TICK_MS = 1000;

/**
 * @param onProgress told once a second, and at the end
 * @throws Fault with the code of the verdict, `aborted`, and what `look` throws
 */
export async function runShadow(
  deps: ShadowingDeps,
  onProgress: (stats: ShadowStats) => void,
  signal: AbortSignal,
): Promise<ShadowStats> {
  const { clock, options } = deps;
  const startedMs = clock.monotonicMs();
  const inbox = new Latest<SampleMessage | "tick">();
  let [tally, shedAtSource, busy] = [NO_SHADOW, 0, false];
  let toldMs = Number.NEGATIVE_INFINITY;
  const stopSamples = deps.samples((message) => {
    // Another process counts from the beginning.
    const fresh = message.shed < shedAtSource ? message.shed : message.shed - shedAtSource;
    shedAtSource = message.shed;
    tally = shedFrames(tally, fresh + (busy ? 1 : 0));
    if (!busy) inbox.put(message);
  });
  const stopTicks = clock.every(TICK_MS, () => !busy && inbox.put("tick"));
  const wake = (): void => void inbox.put("tick");
  signal.addEventListener("abort", wake);
  try {
    for (;;) {
      const input = await inbox.take();
      if (signal.aborted)
        throw new Fault("aborted", "the shadow run was ended", { retry: "later" });
      busy = true;
      if (input !== undefined && input !== "tick") {
        const frame = await compare(input, deps, signal);
        if (frame !== undefined) tally = addFrame(tally, frame);
      }
      busy = false;
      const stats = shadowStatsOf(tally);
      const nowMs = clock.monotonicMs();
      const verdict = shadowVerdict(stats, nowMs - startedMs, options);
      if (verdict.kind !== "more" || nowMs - toldMs >= TICK_MS) {
        toldMs = nowMs;
        onProgress(stats);
      }
      if (verdict.kind === "passed") return stats;
      if (verdict.kind === "failed") throw new Fault(verdict.code, verdict.message);
    }
  } finally {
    signal.removeEventListener("abort", wake);
    stopTicks();
    stopSamples();
    inbox.close();
  }
}

async function compare(
  { frame, look: seen }: SampleMessage,
  deps: ShadowingDeps,
  signal: AbortSignal,
) {
  const active = deps.active();
  // From before a switch: its scores mean nothing here.
  if (seen.spaceId !== active.gallery.spaceId) return undefined;
  const looked = await deps.look(frame, signal);
  const candidate = deps.candidate();
  const isCovered = (id: IdentityId | undefined): boolean => id === undefined || deps.isCovered(id);
  const before = (await facesOf(seen, active, deps.match())).map((face) =>
    // Who keeps no crop cannot be known to the candidate: that is told elsewhere.
    isCovered(face.answer?.identityId) ? face : { box: face.box },
  );
  return {
    active: { faces: before, ms: seen.totalMs },
    candidate: {
      faces: await facesOf(looked, candidate, deps.match()),
      ms: looked.totalMs,
    },
  };
}

/** Compared only with the gallery of the look's own space. */
async function facesOf(
  { spaceId, faces }: ShadowLook,
  { gallery, threshold }: Side,
  match: MatchOptions,
): Promise<readonly ShadowFace[]> {
  if (spaceId !== gallery.spaceId)
    throw new Fault(
      "wrong_space",
      `a look in ${spaceId} cannot be compared with the gallery of ${gallery.spaceId}`,
    );
  return Promise.all(
    faces.map(async ({ box, reasons, embedding }): Promise<ShadowFace> => {
      if (embedding === undefined || reasons.length > 0) return { box };
      if (!isUnit(embedding, gallery.dimension)) return { box };
      const found = await gallery.search(embedding, match.candidates);
      const said = matchOf(found, threshold, match);
      const margin =
        threshold.kind === "none" || said.cosine === undefined
          ? undefined
          : said.cosine - threshold.cosine;
      return {
        box,
        answer: { ...(said.kind === "identity" ? { identityId: said.identityId } : {}), margin },
      };
    }),
  );
}
