/** Where a device fetches releases, and how patient it is. */
import { isIP } from "node:net";
import { z } from "zod";

const path = z.string().min(1).max(4096);

const repositoryUrl = z
  .string()
  .max(1000)
  .refine(
    (value) => URL.canParse(value) && /^(?:https?|file):$/.test(new URL(value).protocol),
    "must be https://host/path, file:///path, or http:// to this machine",
  )
  .refine((value) => {
    if (!URL.canParse(value)) return true;
    const { username, password } = new URL(value);
    return username === "" && password === "";
  }, "must not hold credentials: use authorizationFile");

export const RepositoryOptions = z
  .strictObject({
    url: repositoryUrl.meta({
      description:
        "root of the release repository: https://, or file:///media/… for a USB stick; http:// only to this machine, unless insecureHttp",
    }),
    caFile: path.optional().meta({
      description:
        "PEM of the authority that signed the server's certificate; the system's own when absent",
    }),
    authorizationFile: path.optional().meta({
      description:
        "file that holds the value of the Authorization header, e.g. `Bearer …`; read at each check",
    }),
    insecureHttp: z.boolean().default(false).meta({
      description:
        "allow http:// to another machine: releases stay signed, but everybody on the way sees and can stop them",
    }),
    idleMs: z
      .int()
      .min(50)
      .max(600_000)
      .default(30_000)
      .meta({ description: "a transfer that brings nothing for this long is given up, ms" }),
    bytesPerSecondMin: z.int().min(0).max(1_000_000_000).default(1024).meta({
      description: "a transfer slower than this over rateWindowMs is given up, bytes/s",
    }),
    rateWindowMs: z.int().min(50).max(600_000).default(60_000).meta({
      description: "over which bytesPerSecondMin is measured, ms",
    }),
    attempts: z.int().min(1).max(20).default(5).meta({
      description: "tries of one file without progress before it is given up until the next check",
    }),
    diskReserveBytes: z
      .int()
      .min(0)
      .max(2 ** 40)
      .default(64 * 1024 * 1024)
      .meta({ description: "free space that a download leaves, bytes" }),
  })
  .superRefine(({ url, insecureHttp }, context) => {
    if (insecureHttp || !isPlainAbroad(url)) return;
    context.addIssue({
      code: "custom",
      path: ["url"],
      message: "http:// to another machine is not secret: use https://, or set insecureHttp: true",
    });
  });
export type RepositoryOptions = z.infer<typeof RepositoryOptions>;

/** True when a transfer would leave this machine without TLS. */
export function isPlainAbroad(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "http:" && !isLoopback(hostname);
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
