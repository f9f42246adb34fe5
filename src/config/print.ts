/** The effective configuration for people, without its secrets. */
import { stringify } from "yaml";
import { alternatives, inputSchema, type Schema } from "./json-schema.ts";
import { type Config, FileConfig } from "./schema.ts";

const REDACTED = "[redacted]";

/** Marked `secret: true` in the schema. URLs keep their host. */
type Marked = Schema & { readonly secret?: boolean };

/** @returns plain data with every secret replaced */
export function redacted(config: Config): Readonly<Record<string, unknown>> {
  return redact(config, [inputSchema(FileConfig)]) as Readonly<Record<string, unknown>>;
}

export function printConfig(config: Config, format: "yaml" | "json"): string {
  const data = redacted(config);
  return format === "json" ? `${JSON.stringify(data, null, 2)}\n` : stringify(data);
}

function redact(value: unknown, schemas: readonly Marked[]): unknown {
  const open = schemas.flatMap((schema) => alternatives(schema)) as readonly Marked[];
  if (open.some((schema) => schema.secret === true))
    return typeof value === "string" ? withoutUser(value) : REDACTED;
  if (Array.isArray(value)) {
    const items = open.map((schema) => schema.items).filter((schema) => schema !== undefined);
    return value.map((item) => redact(item, items));
  }
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => {
      const parts = open.flatMap(
        (schema) =>
          schema.properties?.[key] ??
          (typeof schema.additionalProperties === "object" ? schema.additionalProperties : []),
      );
      return [key, redact(part, parts)];
    }),
  );
}

/** Scheme, host and port stay: they are what one looks for. Path and query may hold tokens. */
function withoutUser(text: string): string {
  if (!/^rtsps?:/.test(text))
    return text.startsWith("/dev/") || text.startsWith("file:") ? text : REDACTED;
  if (!URL.canParse(text)) return REDACTED;
  const url = new URL(text);
  const user = url.username === "" && url.password === "" ? "" : `${REDACTED}@`;
  return `${url.protocol}//${user}${url.host}${url.pathname === "/" || url.pathname === "" ? "" : `/${REDACTED}`}`;
}
