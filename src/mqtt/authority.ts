/**
 * Is this really a command, from a known key, for this device, now? Everything that can be checked without
 * the store. Whether its id or number was seen before is checked in the transaction of its effect.
 */
import type { EpochMs } from "../lib/brand.ts";
import { CommandPayload, Envelope, type RefusalCode } from "../lib/envelope.ts";
import { parseJson } from "../lib/json.ts";
import type { IncomingCommand, ReplyTarget } from "./command.ts";
import type { ReplyAddress } from "./topics.ts";

/** Longest life of a command, seconds. */
export const COMMAND_LIFE_MAX_S = 60;

export interface AuthorityContext {
  /** Known keys; the store or the configuration says which. */
  readonly has: (kid: string) => boolean;
  /** Ed25519 over the exact bytes of `payload`. */
  readonly verify: (envelope: Envelope) => boolean;
  /** `<site>/<device>`. */
  readonly audience: string;
  readonly now: EpochMs;
  readonly maxBytes: number;
  /** How far the sender's clock may run ahead of ours. */
  readonly skewSeconds: number;
}

export type CommandVerdict =
  | { readonly kind: "ok"; readonly payload: CommandPayload; readonly replyTo: ReplyTarget }
  | {
      readonly kind: "refused";
      readonly code: RefusalCode;
      /** Says what is wrong and what to do; holds nothing of the command. */
      readonly message: string;
      /** Absent when nobody can be told: the command named no valid place for the answer. */
      readonly replyTo?: ReplyTarget;
    };

type Refusal = Extract<CommandVerdict, { kind: "refused" }>;

/** Checks in order, cheap and unforgeable ones first; fails closed. */
export function checkCommand(raw: IncomingCommand, context: AuthorityContext): CommandVerdict {
  const property = targetOfProperties(raw);
  const refuse = (code: RefusalCode, message: string, target = property): Refusal =>
    target === undefined
      ? { kind: "refused", code, message }
      : { kind: "refused", code, message, replyTo: target };

  if (raw.bytes.byteLength > context.maxBytes)
    return refuse("too_large", `a command is at most ${context.maxBytes} bytes`);
  const json = parseBytes(raw.bytes);
  const envelope = Envelope.safeParse(json);
  if (!envelope.success) {
    return isUnsigned(json)
      ? refuse("unsigned", "commands are signed: send {payload, kid, sig}")
      : refuse("malformed", "the message is not an envelope {payload, kid, sig} in UTF-8 JSON");
  }
  if (raw.retained)
    return refuse(
      "retained",
      "commands must not be retained: publish it again without the retain flag",
    );
  if (!context.has(envelope.data.kid))
    return refuse("unknown_key", "no such key on this device: add its public key to control.keys");
  if (!context.verify(envelope.data))
    return refuse("bad_signature", "the signature does not fit the payload and key");

  const parsed = CommandPayload.safeParse(parseJson(envelope.data.payload));
  if (!parsed.success)
    return refuse("malformed", `the payload is not a command: ${issueOf(parsed.error)}`);
  const payload = parsed.data;
  if (payload.kid !== envelope.data.kid)
    return refuse("bad_signature", "the payload names another key than the envelope");

  const replyTo: ReplyTarget = {
    kid: payload.kid,
    replyTo: payload.replyTo,
    correlation: payload.correlation,
  };
  const wrong = checkPayload(payload, raw, context);
  return wrong === undefined
    ? { kind: "ok", payload, replyTo }
    : refuse(wrong.code, wrong.message, replyTo);
}

interface Wrong {
  readonly code: RefusalCode;
  readonly message: string;
}

function checkPayload(
  payload: CommandPayload,
  raw: IncomingCommand,
  context: AuthorityContext,
): Wrong | undefined {
  if (payload.aud !== context.audience)
    return { code: "misaddressed", message: "the command is for another device" };
  if (payload.cmd !== raw.name)
    return { code: "wrong_command", message: "the signed command and the topic differ" };
  if (!repliesAgree(payload, raw)) {
    return {
      code: "mismatched_reply",
      message: "response topic or correlation data differ from the signed ones",
    };
  }
  const nowSeconds = context.now / 1000;
  if (!(payload.exp > payload.iat) || payload.exp - payload.iat > COMMAND_LIFE_MAX_S) {
    return { code: "expired", message: `exp must lie within ${COMMAND_LIFE_MAX_S} s after iat` };
  }
  if (!(payload.exp > nowSeconds))
    return {
      code: "expired",
      message: "the command has expired: compare the clocks of both sides",
    };
  if (payload.iat > nowSeconds + context.skewSeconds) {
    return {
      code: "not_yet_valid",
      message: "the command was issued in the future: compare the clocks of both sides",
    };
  }
  return undefined;
}

/** The MQTT properties are not signed: where present they must say what the signed payload says. */
function repliesAgree(payload: CommandPayload, raw: IncomingCommand): boolean {
  if (raw.reply.kind === "foreign") return false;
  if (raw.reply.kind === "ours") {
    const address: ReplyAddress = raw.reply.address;
    if (address.kid !== payload.kid || address.replyTo !== payload.replyTo) return false;
  }
  return raw.correlation === undefined || raw.correlation === payload.correlation;
}

/** Where to tell a sender whose signature is not (yet) believed: only under our own `response/`. */
function targetOfProperties(raw: IncomingCommand): ReplyTarget | undefined {
  if (raw.reply.kind !== "ours") return undefined;
  return { ...raw.reply.address, correlation: raw.correlation ?? "" };
}

function parseBytes(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function isUnsigned(json: unknown): boolean {
  return typeof json === "object" && json !== null && "cmd" in json && !("sig" in json);
}

/** Path and rule of the first violation, never the value. */
function issueOf(error: {
  readonly issues: readonly {
    readonly path: readonly PropertyKey[];
    readonly code?: string | undefined;
  }[];
}): string {
  const issue = error.issues[0];
  if (issue === undefined) return "invalid";
  return `${issue.path.map(String).join(".") || "payload"} (${issue.code ?? "invalid"})`;
}
