/** Bounds of everything the store keeps. */
import { z } from "zod";

const MIB = 1024 * 1024;
const DAY_MS = 24 * 3600 * 1000;

export const StoreLimits = z.strictObject({
  templatesMax: z
    .int()
    .min(1)
    .max(100)
    .default(20)
    .meta({ description: "templates of one identity in one space; more are refused" }),
  eventsMax: z.int().min(16).max(10_000_000).default(100_000).meta({
    description:
      "events kept for replay and for a broker that is away; the oldest go first, unsent ones leave a gap event",
  }),
  eventBytesMax: z
    .int()
    .min(4096)
    .default(64 * MIB)
    .meta({ description: "the same bound in bytes" }),
  eventAgeMaxMs: z
    .int()
    .min(1000)
    .default(30 * DAY_MS)
    .meta({ description: "the same bound in milliseconds" }),
  answersMax: z
    .int()
    .min(1)
    .default(100_000)
    .meta({ description: "command answers kept for repeats, for a day" }),
  answerBytesMax: z
    .int()
    .min(1024)
    .default(64 * MIB)
    .meta({ description: "the same bound in bytes" }),
  streamsMax: z.int().min(1).default(100_000).meta({
    description: "command streams; above it, new ones are refused unless others rested a day",
  }),
});
export type StoreLimits = z.infer<typeof StoreLimits>;
