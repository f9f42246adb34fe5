/** One camera of the configuration file. */
import { z } from "zod";
import { CameraIdSchema } from "../lib/id.ts";

export const PRESETS = ["software", "vaapi", "jetson"] as const;
export type Preset = (typeof PRESETS)[number];

const BackoffSchema = z.strictObject({
  firstMs: z
    .int()
    .min(50)
    .max(60_000)
    .default(500)
    .meta({ description: "wait before the first retry, ms; then doubled each time, with jitter" }),
  maxMs: z.int().min(100).max(600_000).default(30_000).meta({
    description:
      "longest wait between retries, ms; used at once when the camera refuses the password",
  }),
  localMaxMs: z.int().min(100).max(600_000).default(1000).meta({
    description:
      "longest wait for a camera on a local network (private or link-local address), a file or a device, ms",
  }),
});

export const CameraOptions = z.strictObject({
  id: CameraIdSchema.meta({ description: "name of the camera in topics, logs and decisions" }),
  url: z
    .string()
    .max(2000)
    .regex(
      /^(rtsps?:\/\/[^\s/]|file:.|\/dev\/video\d+$)/,
      "must be rtsp://…, rtsps://…, file:PATH or /dev/videoN",
    )
    // A line break would end the directive that carries the URL to ffmpeg.
    .regex(/^[^\p{Cc}]*$/u, "must not hold control characters")
    .meta({
      description:
        "where the pictures come from: rtsp://, rtsps://, file:PATH or /dev/videoN; a secret when it holds a password",
      secret: true,
    }),
  enabled: z
    .boolean()
    .default(true)
    .meta({ description: "false keeps the entry but does not connect" }),
  preset: z.enum(PRESETS).default("software").meta({
    description:
      "how the video is decoded: software, vaapi (Intel, AMD) or jetson (GStreamer nvv4l2decoder)",
  }),
  presetFallback: z.boolean().default(false).meta({
    description:
      "decode in software, with a warning, when the preset does not work here; false refuses to start",
  }),
  widthPx: z.int().min(64).max(4096).multipleOf(2).default(1280).meta({
    description:
      "widest picture, px; larger ones are scaled down in the decoder, smaller ones stay",
  }),
  heightPx: z
    .int()
    .min(64)
    .max(4096)
    .multipleOf(2)
    .default(720)
    .meta({ description: "highest picture, px; the aspect ratio is kept" }),
  fps: z
    .number()
    .min(0.2)
    .max(60)
    .default(10)
    .meta({ description: "most frames per second; the decoder drops the others" }),
  transport: z.enum(["tcp", "udp"]).default("tcp").meta({
    description: "RTP transport; udp loses packets, use it only when the camera cannot do tcp",
  }),
  connectMs: z
    .int()
    .min(500)
    .max(120_000)
    .default(10_000)
    .meta({ description: "longest time to the first frame after connecting, ms" }),
  stallMs: z
    .int()
    .min(500)
    .max(120_000)
    .default(5000)
    .meta({ description: "reconnect when no frame came for this long, ms" }),
  frozenMs: z.int().min(0).max(600_000).default(10_000).meta({
    description:
      "reconnect when the picture was byte-for-byte the same for this long, ms; doubled while it stays so; 0 = off",
  }),
  driftMaxMs: z.int().min(0).max(60_000).default(2000).meta({
    description: "reconnect when frames come this much later than their times say, ms; 0 = off",
  }),
  overshootFactor: z
    .number()
    .min(0)
    .max(100)
    .default(3)
    .meta({ description: "reconnect when more than this many times fps arrives for 3 s; 0 = off" }),
  paced: z
    .boolean()
    .default(true)
    .meta({ description: "file: only: play at its own speed; false = as fast as possible" }),
  loop: z.boolean().default(false).meta({ description: "file: only: begin again at the end" }),
  backoff: BackoffSchema.prefault({}).meta({ description: "waits between tries to connect" }),
});
export type CameraOptions = z.infer<typeof CameraOptions>;
