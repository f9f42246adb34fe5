/**
 * The signed envelope of everything that opens a door or changes who may. Exact bytes are signed, so
 * no canonical form is needed. Signing and verifying live at the edges.
 */
import { z } from "zod";

export const ENVELOPE_MAX_BYTES = 2 * 1024 * 1024;

/** First 16 hex digits of the sha256 of the raw 32-byte Ed25519 public key. */
export const KeyId = z.string().regex(/^[0-9a-f]{16}$/, "must be 16 lower-case hex digits");

export const Envelope = z.strictObject({
  /** JSON text; its UTF-8 bytes are what `sig` signs. */
  payload: z.string().max(ENVELOPE_MAX_BYTES),
  kid: KeyId,
  /** Ed25519 signature, base64, 64 bytes. */
  sig: z.string().regex(/^[A-Za-z0-9+/]{86}==$/, "must be 64 bytes in base64"),
});
export type Envelope = z.infer<typeof Envelope>;

/** The signed part of a command. */
export const CommandPayload = z.strictObject({
  schema: z.literal(1),
  /** Chosen by the sender, unique per command: a known id gets its stored answer and no second effect. */
  id: z.string().regex(/^[A-Za-z0-9_-]{8,64}$/),
  /** Must equal the topic's, e.g. `identity/put`. */
  cmd: z
    .string()
    .regex(/^[a-z]+(\/[a-z-]+)*$/)
    .max(64),
  args: z.unknown(),
  /** `<site>/<device>`. */
  aud: z.string().max(129),
  kid: KeyId,
  /** Random per start of the client; `seq` increases within it. */
  stream: z.string().regex(/^[A-Za-z0-9_-]{8,64}$/),
  seq: z.int().nonnegative(),
  /** Seconds since 1970, as in RFC 7519. */
  iat: z.number().nonnegative(),
  exp: z.number().nonnegative(),
  /** Topic suffix under `response/<kid>/`. */
  replyTo: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  correlation: z.string().max(64),
});
export type CommandPayload = z.infer<typeof CommandPayload>;

/** Why a command was refused, before or instead of its effect. */
export const REFUSAL_CODES = [
  "too_large",
  "malformed",
  "retained",
  "unknown_key",
  "bad_signature",
  "unsigned",
  "misaddressed",
  "wrong_command",
  "mismatched_reply",
  "expired",
  "not_yet_valid",
  "replayed",
  "unknown_command",
  "invalid_arguments",
  "busy",
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

export type Answer =
  | { readonly ok: true; readonly data?: unknown; readonly progress?: unknown }
  | {
      readonly ok: false;
      readonly error: {
        readonly code: string;
        readonly message: string;
        readonly reasons?: readonly string[];
      };
    };
