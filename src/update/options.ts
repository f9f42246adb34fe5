/** What the site may tune about updates: part of the configuration file. Without the section there are none. */
import { z } from "zod";
import { ProbationOptions } from "../release/probation.ts";
import { SelfTestOptions } from "../release/self-test.ts";
import { ShadowOptions } from "../release/shadow.ts";
import { RepositoryOptions } from "./tuf/options.ts";

const path = z.string().min(1).max(4096);

export const UpdateOptions = z.strictObject({
  repository: RepositoryOptions.meta({ description: "where releases are fetched" }),
  trust: z
    .strictObject({
      root: path.default("trust/root.json").meta({
        description:
          "TUF root that this device trusts from the start; `install.sh --trust` puts it there",
      }),
      director: path.default("trust/director.pub").meta({
        description:
          "public keys that may say what this device runs: raw Ed25519 in base64, one a line",
      }),
    })
    .prefault({})
    .meta({ description: "the two authorities: TUF says genuine, the director says wanted" }),
  checkEveryMs: z
    .int()
    .min(1000)
    .max(7 * 24 * 3_600_000)
    .default(3_600_000)
    .meta({ description: "how often the repository is asked for a desired state, ms" }),
  withoutCrops: z.enum(["refuse", "keep-old", "re-enrol"]).default("keep-old").meta({
    description:
      "when a new embedder cannot read people of whom no picture is kept: refuse the pack, keep the old one until they are enrolled again, or go on and have them enrolled again",
  }),
  temperatureMaxC: z
    .number()
    .min(30)
    .max(120)
    .default(80)
    .meta({ description: "a machine hotter than this starts no work on an update, °C" }),
  selfTest: SelfTestOptions.prefault({}).meta({
    description: "what a pack must show before it sees a camera",
  }),
  shadow: ShadowOptions.prefault({}).meta({
    description: "the run beside the pack that serves, without effect on a door",
  }),
  probation: ProbationOptions.prefault({}).meta({
    description: "how long and by what a pack that serves is watched before it is kept",
  }),
});
export type UpdateOptions = z.infer<typeof UpdateOptions>;
