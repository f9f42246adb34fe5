/** What the site may tune about commands: part of the configuration file. */
import { z } from "zod";

const PUBLIC_KEY = /^[A-Za-z0-9+/]{43}=$/;

/** Who may command. Roles other than administrator, and key documents, extend this list. */
export const CommandKey = z.strictObject({
  name: z.string().min(1).max(100).meta({ description: "whose key, for the operator's eyes" }),
  publicKey: z
    .string()
    .regex(
      PUBLIC_KEY,
      "must be the 32 raw bytes of an Ed25519 public key in base64: `ostiary keys new` prints it",
    )
    .meta({
      description: "raw Ed25519 public key, base64, as `ostiary keys new` prints it",
    }),
  role: z.literal("administrator").meta({ description: "what the key may do" }),
});
export type CommandKey = z.infer<typeof CommandKey>;

export const ControlOptions = z.strictObject({
  keys: z
    .array(CommandKey)
    .max(64)
    .default([])
    .meta({ description: "keys whose signed MQTT commands are obeyed" }),
  queueMax: z
    .int()
    .min(1)
    .max(1024)
    .default(32)
    .meta({ description: "changing commands that may wait; beyond, they are refused as busy" }),
  readsMax: z
    .int()
    .min(1)
    .max(256)
    .default(8)
    .meta({ description: "reading commands that run at once; beyond, they are refused as busy" }),
  prepareTimeoutMs: z
    .int()
    .min(1000)
    .max(120_000)
    .default(20_000)
    .meta({ description: "a command that takes longer to prepare is given up, ms" }),
  imageMaxBytes: z
    .int()
    .min(10_000)
    .max(5_000_000)
    .default(4_000_000)
    .meta({ description: "largest enrolment picture, bytes (MQTT's packet limit may be lower)" }),
  imageMaxPixels: z
    .int()
    .min(10_000)
    .max(100_000_000)
    .default(25_000_000)
    .meta({ description: "largest enrolment picture, width × height" }),
  snapshot: z
    .strictObject({
      enabled: z
        .boolean()
        .default(false)
        .meta({ description: "allow camera/snapshot: pictures of people leave the device" }),
    })
    .prefault({})
    .meta({ description: "pictures on demand" }),
});
export type ControlOptions = z.infer<typeof ControlOptions>;
