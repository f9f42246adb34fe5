/** How this device reaches its broker, and who it is there. */
import { isIP } from "node:net";
import { z } from "zod";
import { DeviceId, SiteId } from "../lib/id.ts";

const path = z.string().min(1).max(4096);

/** True for names and addresses that never leave the machine. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

const brokerUrl = z
  .string()
  .max(1000)
  .refine(
    (value) => URL.canParse(value) && /^mqtts?:$/.test(new URL(value).protocol),
    "must be mqtts://host[:port] or mqtt://host[:port]",
  )
  .refine((value) => {
    if (!URL.canParse(value)) return true;
    const url = new URL(value);
    return url.username === "" && url.password === "";
  }, "must not hold credentials: use username and passwordFile")
  .refine((value) => !URL.canParse(value) || new URL(value).hostname !== "", "must name a host");

export const MqttOptions = z
  .strictObject({
    url: brokerUrl.meta({
      description: "mqtts://host[:8883]; mqtt:// only to this machine, unless insecurePlaintext",
    }),
    site: SiteId.meta({
      description: "first half of this device's address: ostiary/v1/<site>/<device>/",
    }),
    device: DeviceId.meta({
      description: "second half of this device's address; unique within the site",
    }),
    clientId: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,128}$/, "must be 1 to 128 of A-Z a-z 0-9 . _ -")
      .optional()
      .meta({
        description: "MQTT client id, unique on the broker; ostiary-<site>-<device> when absent",
      }),
    username: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .meta({ description: "for brokers that ask for a password" }),
    passwordFile: path
      .optional()
      .meta({ description: "file that holds the password; read at each connect" }),
    caFile: path.optional().meta({
      description:
        "PEM of the authority that signed the broker's certificate; the system's own when absent",
    }),
    certFile: path
      .optional()
      .meta({ description: "PEM of this device's certificate; needs keyFile" }),
    keyFile: path
      .optional()
      .meta({ description: "PEM of this device's TLS private key; needs certFile" }),
    insecurePlaintext: z.boolean().default(false).meta({
      description:
        "allow mqtt:// to another machine: everybody on the way reads and changes everything",
    }),
    keepaliveSeconds: z
      .int()
      .min(5)
      .max(600)
      .default(20)
      .meta({ description: "a silent broker is given up after one and a half times this" }),
    sessionExpirySeconds: z.int().min(0).max(86_400).default(60).meta({
      description:
        "how long the broker keeps commands for an absent device; commands live 60 s at most",
    }),
    maxPacketBytes: z
      .int()
      .min(65_536)
      .max(16 * 1024 * 1024)
      .default(2 * 1024 * 1024)
      .meta({ description: "largest command, bytes; larger ones are refused" }),
    willDelaySeconds: z.int().min(0).max(300).default(15).meta({
      description: "the broker waits this long before it announces offline: hides short drops",
    }),
    healthEveryMs: z
      .int()
      .min(1000)
      .max(3_600_000)
      .default(60_000)
      .meta({ description: "time between two health messages, ms" }),
    reconnect: z
      .strictObject({
        firstMs: z
          .int()
          .min(50)
          .max(60_000)
          .default(500)
          .meta({ description: "longest first wait before connecting again, ms" }),
        maxMs: z
          .int()
          .min(50)
          .max(600_000)
          .default(15_000)
          .meta({ description: "longest wait, ms" }),
      })
      .prefault({})
      .meta({ description: "exponential backoff with jitter" }),
  })
  .superRefine((value, context) => {
    const fail = (key: string, message: string): void => {
      context.addIssue({ code: "custom", path: [key], message });
    };
    if ((value.certFile === undefined) !== (value.keyFile === undefined))
      fail("certFile", "certFile and keyFile go together: give both or none");
    if (value.passwordFile !== undefined && value.username === undefined)
      fail("username", "passwordFile needs a username");
    if (isPlaintextAbroad(value.url) && !value.insecurePlaintext) {
      fail(
        "url",
        "mqtt:// to another machine is neither secret nor authentic: use mqtts://, or set insecurePlaintext: true",
      );
    }
  });
export type MqttOptions = z.infer<typeof MqttOptions>;

/** True when traffic would leave this machine without TLS. */
export function isPlaintextAbroad(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "mqtt:" && !isLoopback(hostname);
}

/** `<site>/<device>`: the audience of commands and the sender of decisions. */
export function addressOf(options: { readonly site: string; readonly device: string }): string {
  return `${options.site}/${options.device}`;
}
