/** The one schema of the configuration file, composed from the options of the parts. */
import { z } from "zod";
import { CameraOptions } from "../camera/options.ts";
import { DecisionOptions } from "../decision/options.ts";
import { AccessRules, problemsOf } from "../decision/rules.ts";
import { EnrolmentOptions } from "../enrolment/options.ts";
import { MatchOptions } from "../match/options.ts";
import { MqttOptions } from "../mqtt/options.ts";
import { VisionOptions } from "../observation/messages.ts";
import { StoreLimits } from "../store/limits.ts";
import { UpdateOptions } from "../update/options.ts";
import { ControlOptions } from "./control-options.ts";

const path = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^[^\0]*$/, "must not hold NUL");

/** One camera as the file may write it: its URL in place, or in a file of its own that only the service may read. */
const FileCamera = z
  .strictObject({
    ...CameraOptions.shape,
    url: CameraOptions.shape.url.optional(),
    urlFile: path.optional().meta({
      description:
        "file that holds the URL on one line, instead of url; `credential:NAME` reads a systemd credential",
    }),
  })
  .refine((camera) => (camera.url === undefined) !== (camera.urlFile === undefined), {
    path: ["url"],
    error: "give either url or urlFile",
  });

const sections = {
  mqtt: MqttOptions.meta({ description: "the broker, and this device's address there" }),
  access: AccessRules.prefault({}).meta({
    description: "who may pass which door when; what nothing allows is denied",
  }),
  control: ControlOptions.prefault({}).meta({
    description: "who may command, and how much at once",
  }),
  vision: VisionOptions.prefault({}).meta({
    description: "detector, embedder, tracker and quality limits",
  }),
  match: MatchOptions.prefault({}).meta({ description: "how alike is alike enough" }),
  decision: DecisionOptions.prefault({}).meta({
    description: "how much evidence a decision takes",
  }),
  enrolment: EnrolmentOptions.prefault({}).meta({ description: "what makes a good template" }),
  store: StoreLimits.prefault({}).meta({ description: "bounds of the store of record" }),
  update: UpdateOptions.optional().meta({
    description: "model packs over the air; without this section there are none",
  }),
  paths: z
    .strictObject({
      state: path
        .default("/var/lib/ostiary")
        .meta({ description: "the store and its keys' wrappings live here" }),
      runtime: path
        .default("/run/ostiary")
        .meta({ description: "control.sock lives here; not kept over a restart" }),
      pack: path.optional().meta({
        description:
          "directory of the model pack; the bundled one when absent. With `update` it serves until the first update, and when nothing else can",
      }),
      deviceKey: path.default("credential:device-key").meta({
        description:
          "file of the key that wraps every other; `credential:NAME` reads a systemd credential",
      }),
    })
    .prefault({})
    .meta({ description: "where things are; relative paths start at this file's folder" }),
  clock: z
    .strictObject({
      requireSynchronized: z.boolean().default(false).meta({
        description: "trust the wall clock only once a time service has set it since boot",
      }),
    })
    .prefault({})
    .meta({ description: "when the wall clock is believed" }),
  insecure: z
    .strictObject({
      generatedDeviceKey: z.boolean().default(false).meta({
        description:
          "make a device key beside the store when there is none: whoever takes the disk reads every template; for demonstrations",
      }),
      demoOnlyPack: z.boolean().default(false).meta({
        description:
          "let a pack that is marked demoOnly open doors; without it everybody whom it recognises is denied as demo_only",
      }),
    })
    .prefault({})
    .meta({ description: "each of these gives a protection up, and warns at every start" }),
  watchdog: z
    .strictObject({
      checkTimeoutMs: z
        .int()
        .min(500)
        .max(60_000)
        .default(5000)
        .meta({ description: "a health check that has not answered by then fails, ms" }),
      lagMaxMs: z
        .int()
        .min(50)
        .max(10_000)
        .default(1000)
        .meta({ description: "the event loop may be late by this much, ms" }),
    })
    .prefault({})
    .meta({ description: "when systemd's watchdog is fed; its period is set in the unit" }),
  telemetry: z
    .strictObject({
      level: z
        .enum(["error", "warn", "info", "debug"])
        .default("info")
        .meta({ description: "least level of a log line" }),
      metrics: z
        .strictObject({
          host: z
            .enum(["127.0.0.1", "::1"])
            .default("127.0.0.1")
            .meta({ description: "loopback only: the endpoint has no authentication" }),
          port: z
            .int()
            .min(1)
            .max(65_535)
            .optional()
            .meta({ description: "port of GET /metrics; no endpoint when absent" }),
        })
        .prefault({})
        .meta({ description: "numbers for Prometheus" }),
    })
    .prefault({})
    .meta({ description: "log and metrics" }),
};

const cameras = { description: "cameras, each with an id of its own" };

/** What the file may hold. */
export const FileConfig = z.strictObject({
  ...sections,
  cameras: z.array(FileCamera).max(64).default([]).meta(cameras),
});
export type FileConfig = z.infer<typeof FileConfig>;

/** What is in force: every camera has its URL, every path is absolute. */
export interface Config extends Omit<FileConfig, "cameras"> {
  readonly cameras: readonly CameraOptions[];
}

/** What no single section can know. @returns problems as `path: what is wrong; fix` */
export function crossProblems(
  config: FileConfig,
): readonly { readonly path: readonly PropertyKey[]; readonly message: string }[] {
  const problems: { readonly path: readonly PropertyKey[]; readonly message: string }[] = [];
  const ids = config.cameras.map((camera) => camera.id);
  for (const [index, id] of ids.entries()) {
    if (ids.indexOf(id) !== index)
      problems.push({
        path: ["cameras", index, "id"],
        message: `camera "${id}" exists twice; rename one`,
      });
  }
  for (const problem of problemsOf(config.access, ids))
    problems.push({ path: ["access", ...problem.path], message: problem.message });
  const keys = config.control.keys.map((key) => key.publicKey);
  for (const [index, key] of keys.entries()) {
    if (keys.indexOf(key) !== index)
      problems.push({
        path: ["control", "keys", index, "publicKey"],
        message: "is listed twice; remove one",
      });
  }
  if (config.vision.quorumFrames < config.decision.framesMin) {
    problems.push({
      path: ["vision", "quorumFrames"],
      message: `must be at least decision.framesMin (${config.decision.framesMin}); raise it`,
    });
  }
  // A list that one person fills hides the next best one, and the margin with it.
  if (config.match.candidates <= config.store.templatesMax) {
    problems.push({
      path: ["match", "candidates"],
      message: `must be above store.templatesMax (${config.store.templatesMax}); raise it, or lower that`,
    });
  }
  return problems;
}

/** Loud at every start. */
export function warningsOf(config: Config): readonly string[] {
  const warnings: string[] = [];
  if (config.insecure.generatedDeviceKey) {
    warnings.push(
      "insecure.generatedDeviceKey: a device key may lie beside the store; whoever takes the disk reads every template",
    );
  }
  if (config.insecure.demoOnlyPack)
    warnings.push("insecure.demoOnlyPack: a pack that is marked demoOnly may open doors");
  if (config.mqtt.insecurePlaintext)
    warnings.push("mqtt.insecurePlaintext: MQTT may leave this machine in clear");
  if (config.update?.repository.insecureHttp === true)
    warnings.push("update.repository.insecureHttp: releases may be fetched without TLS");
  if (config.control.snapshot.enabled)
    warnings.push("control.snapshot.enabled: pictures of people leave the device on demand");
  if (config.control.keys.length === 0)
    warnings.push("control.keys: is empty; every MQTT command is refused");
  return warnings;
}
