/** What the site may tune about decisions: part of the configuration file. */
import { z } from "zod";

const milliseconds = (least: number, most: number, preset: number, description: string) =>
  z
    .int()
    .min(least)
    .max(most)
    .default(preset)
    .meta({ description: `${description}, ms` });

const count = (least: number, most: number, preset: number, description: string) =>
  z.int().min(least).max(most).default(preset).meta({ description });

const MINUTE_MS = 60_000;

export const DecisionOptions = z
  .strictObject({
    framesMin: count(
      2,
      50,
      3,
      "frames of one person needed before a grant; one frame is never enough",
    ),
    agreeingShareMin: z.number().gt(0.5).max(1).default(0.65).meta({
      description:
        "share of the evidence, by quality weight, that must point at the granted person",
    }),
    unknownAfterFrames: count(
      2,
      100,
      5,
      "usable frames without an agreed person before `unknown` or `disagreement` is said",
    ),
    windowFramesMax: count(3, 200, 10, "newest usable frames of a track that count as evidence"),
    windowMs: milliseconds(
      500,
      10 * MINUTE_MS,
      8000,
      "older frames of a track no longer count as evidence",
    ),
    trackFramesMin: count(1, 100, 3, "a track seen in fewer frames ends without a decision"),
    decisionTtlMs: milliseconds(2000, MINUTE_MS, 5000, "how long a decision may be acted upon"),
    coolDownMs: milliseconds(
      0,
      60 * MINUTE_MS,
      10_000,
      "per person and door: no second grant this soon after one that the broker acknowledged; also how often a standing denial is repeated",
    ),
    attemptsPerTrackMax: count(
      3,
      10_000,
      30,
      "compared frames of one track that did not confirm its person, before it has to pause",
    ),
    attemptsPerDoorPerMinuteMax: count(
      3,
      10_000,
      400,
      "the same over all tracks at one door in one minute, before the door pauses",
    ),
    attemptsPauseMs: milliseconds(1000, 60 * MINUTE_MS, 15_000, "how long such a pause lasts"),
    requireTrustedClock: z.boolean().default(true).meta({
      description:
        "deny while the clock is not known to be right (schedules, validity and expiry depend on it)",
    }),
    frameAgeMaxMs: milliseconds(
      100,
      MINUTE_MS,
      1000,
      "older frames are no evidence, counted from their capture",
    ),
    trackIdleMaxMs: milliseconds(
      500,
      10 * MINUTE_MS,
      10_000,
      "a track that vision no longer mentions ends after this long",
    ),
    queueMax: count(
      1,
      64,
      4,
      "looked-at frames of one camera that may wait for the search; the oldest is dropped",
    ),
    tracksMax: count(
      8,
      10_000,
      512,
      "tracks remembered at once; the one unseen for longest is ended",
    ),
    visitsMax: count(
      8,
      100_000,
      4096,
      "visits (person and door) remembered at once; the oldest is forgotten",
    ),
  })
  .refine((value) => value.unknownAfterFrames >= value.framesMin, {
    path: ["unknownAfterFrames"],
    error: "must be at least framesMin: raise it, or lower framesMin",
  })
  .refine((value) => value.windowFramesMax >= value.unknownAfterFrames, {
    path: ["windowFramesMax"],
    error: "must be at least unknownAfterFrames: raise it, or lower unknownAfterFrames",
  });
export type DecisionOptions = z.infer<typeof DecisionOptions>;
