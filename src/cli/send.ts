/** `send`: signs a command, publishes it and prints what the device answers. */
import { readFile } from "node:fs/promises";
import type { z } from "zod";
import type { Answer } from "../lib/envelope.ts";
import { CommandPayload } from "../lib/envelope.ts";
import { codeOf } from "../lib/fault.ts";
import { CommandClient, isFinal } from "../mqtt/client.ts";
import { type Signer, signerFromPem } from "../mqtt/envelope.ts";
import { MqttOptions } from "../mqtt/options.ts";
import { createClock } from "../system/clock.ts";
import { createRandom } from "../system/random.ts";
import { plain, printAnswer } from "./answer.ts";
import type { Arguments } from "./arguments.ts";
import type { Action } from "./command.ts";
import { refused, usage } from "./exit.ts";

export const send: Action = async ({ args, terminal, signal }) => {
  const name = args.operand(0);
  if (!CommandPayload.shape.cmd.safeParse(name).success)
    throw usage(`"${name}" cannot be a command: they look like identity/put`);
  const parameters = jsonOf(args.operand(1));
  const options = mqttOptionsOf(args);
  const timeoutMs = args.number("timeout", 1, 3600) * 1000;
  const signer = await readSigner(args.text("key"));
  const clock = createClock();
  const random = createRandom();
  await using client = await CommandClient.open(
    options,
    { clock, signer, newId: () => random.id(clock.epochMs()) },
    signal,
  );
  let last: Answer = {
    ok: false,
    error: { code: "no_answer", message: "the device did not answer" },
  };
  for await (const answer of client.send(name, parameters, { timeoutMs, signal })) {
    last = answer;
    if (!isFinal(answer) && answer.ok) terminal.error(`… ${JSON.stringify(answer.progress)}\n`);
  }
  return printAnswer(terminal, last, args.flag("json"), plain);
};

/** @throws Fault `refused` when there is no such file, `bad_private_key` when it is none */
export async function readSigner(file: string): Promise<Signer & { readonly publicKey: string }> {
  const pem = await readFile(file, "utf8").catch((fault: unknown) => {
    throw refused(
      "key_unreadable",
      `cannot read the key ${file} (${codeOf(fault)}): make one with "ostiary keys new"`,
    );
  });
  return signerFromPem(pem);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw usage(`ARGS-JSON is not JSON: write for example '{"id":"ada"}'`);
  }
}

function mqttOptionsOf(args: Arguments): MqttOptions {
  const [site, device, ...rest] = args.text("device").split("/");
  if (site === undefined || device === undefined || rest.length > 0)
    throw usage("--device must be SITE/DEVICE");
  const given = {
    url: args.text("broker"),
    site,
    device,
    caFile: args.optional("ca"),
    username: args.optional("username"),
    passwordFile: args.optional("password-file"),
    insecurePlaintext: args.flag("insecure-plaintext"),
  };
  const parsed = MqttOptions.safeParse(
    Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  );
  if (parsed.success) return parsed.data;
  throw usage(problemOf(parsed.error.issues[0]));
}

const OPTION_OF: Readonly<Record<string, string>> = {
  url: "broker",
  site: "device",
  caFile: "ca",
  passwordFile: "password-file",
};

function problemOf(issue: z.core.$ZodIssue | undefined): string {
  const key = String(issue?.path[0] ?? "");
  return `--${OPTION_OF[key] ?? key}: ${issue?.message ?? "invalid"}`.replace(
    "insecurePlaintext: true",
    "--insecure-plaintext",
  );
}
