/** What must never reach a log, taken out of it: by field name, by shape of the value, by length. */

export const REDACTED = "[redacted]";

/** Compared in lower case without `_` and `-`; also as the end of a longer name (`mqttPassword`). */
const SECRET_KEYS = [
  "password",
  "passphrase",
  "secret",
  "token",
  "credential",
  "credentials",
  "authorization",
  "privatekey",
  "key",
  "pem",
  "sig",
  "signature",
  "name",
  "displayname",
  "username",
  "metadata",
  "embedding",
  "embeddings",
  "vector",
  "template",
  "templates",
  "image",
  "png",
  "jpeg",
  "crop",
  "sourcecrop",
  "pixels",
  "frame",
  "args",
  "payload",
  "url",
  "uri",
];
const STRING_MAX = 2000;

/** `kid`, `code` and other plain words pass; a field named as a secret does not, whatever it holds. */
export function isSecretKey(key: string): boolean {
  const plain = key.toLowerCase().replaceAll(/[_-]/g, "");
  return SECRET_KEYS.some(
    (secret) => plain === secret || (secret.length > 4 && plain.endsWith(secret)),
  );
}

/** User information and queries of URLs, long base64 or hex runs, then length. */
export function scrubText(text: string): string {
  const scrubbed = text
    // Everything up to the last @ before white space or a quote: passwords may hold @ and /.
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/)[^\s"'<>]*@/gi, `$1${REDACTED}@`)
    .replaceAll(/([a-z][a-z0-9+.-]*:\/\/[^\s"'<>?]*)\?[^\s"'<>]*/gi, `$1?${REDACTED}`)
    .replaceAll(
      /\b(password|passphrase|secret|token|authorization)(["']?\s*[=:]\s*)(?:(?:basic|bearer|digest)\s+)?["']?[^\s"',;]+/gi,
      `$1$2${REDACTED}`,
    )
    .replaceAll(/-----BEGIN [^-]+-----[\s\S]*?(?:-----END [^-]+-----|$)/g, REDACTED)
    .replaceAll(/[A-Za-z0-9+/_-]{88,}={0,2}/g, REDACTED)
    // An embedding or pixels printed as a list.
    .replaceAll(
      /(?:-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\s*,\s*){7,}-?\d+(?:\.\d+)?(?:e[+-]?\d+)?/gi,
      REDACTED,
    );
  return scrubbed.length <= STRING_MAX ? scrubbed : `${scrubbed.slice(0, STRING_MAX)}…`;
}

/** Any value as a log may show it. Objects other than errors are not shown: a field is a scalar. */
export function scrubField(
  key: string,
  value: unknown,
): string | number | boolean | null | undefined {
  if (
    value === undefined ||
    value === null ||
    typeof value === "boolean" ||
    typeof value === "number"
  ) {
    return isSecretKey(key) && typeof value === "number" ? REDACTED : value;
  }
  if (isSecretKey(key)) return REDACTED;
  if (typeof value === "string") return scrubText(value);
  if (value instanceof Error) return scrubText(`${value.name}: ${value.message}`);
  return REDACTED;
}
