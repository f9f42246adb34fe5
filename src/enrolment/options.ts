/** What a site may say about enrolment: part of the configuration file. */
import { z } from "zod";

export const EnrolmentOptions = z
  .strictObject({
    shots: z
      .int()
      .min(1)
      .max(20)
      .default(5)
      .meta({ description: "shots collected in a guided enrolment" }),
    timeoutMs: z
      .int()
      .min(5000)
      .max(600_000)
      .default(60_000)
      .meta({ description: "a guided enrolment ends after this long, ms" }),
    templatesPerIdentityMax: z
      .int()
      .min(1)
      .max(64)
      .default(8)
      .meta({ description: "templates of one person; further ones are refused" }),
    keepSourceCrops: z.boolean().default(true).meta({
      description:
        "keep encrypted source crops, so that a new model can embed them again; without them everybody enrols anew",
    }),
    consistencyCosineMin: z.number().min(-1).max(1).default(0.4).meta({
      description:
        "least mean cosine of a new shot to the accepted ones (and of a picture to the person's templates)",
    }),
    diversityCosineMax: z.number().min(-1).max(1).default(0.98).meta({
      description: "shots more alike than this are taken only when they are apart in time",
    }),
    diversityMs: z
      .int()
      .min(0)
      .max(60_000)
      .default(1000)
      .meta({ description: "how far apart in time such shots must be, ms" }),
    duplicateCheck: z.boolean().default(true).meta({
      description: "refuse a face that matches somebody else, unless the command allows it",
    }),
    hopelessAfter: z.int().min(1).max(100).default(5).meta({
      description:
        "a guided enrolment fails after this many shots in a row of another or an already enrolled person",
    }),
  })
  .refine((value) => value.shots <= value.templatesPerIdentityMax, {
    path: ["shots"],
    error: "must not exceed templatesPerIdentityMax: lower shots, or raise templatesPerIdentityMax",
  });
export type EnrolmentOptions = z.infer<typeof EnrolmentOptions>;
