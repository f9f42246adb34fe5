/** The parts of JSON Schema that zod emits for the configuration, and how to walk them. */
import { z } from "zod";

export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

/** What may be written in the file: defaults are optional, transforms show their input. */
export function inputSchema(schema: z.ZodType): Schema {
  return z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    reused: "inline",
  }) as Schema;
}

/** Every schema that may stand there: unions are opened. */
export function alternatives(schema: Schema): readonly Schema[] {
  const nested = [...(schema.anyOf ?? []), ...(schema.oneOf ?? []), ...(schema.allOf ?? [])];
  return nested.length === 0 ? [schema] : [schema, ...nested.flatMap(alternatives)];
}

/** Keys that are known at a path, over all alternatives. */
export function keysAt(schema: Schema, path: readonly PropertyKey[]): readonly string[] {
  let here = alternatives(schema);
  for (const step of path)
    here = here.flatMap((each) => stepInto(each, step)).flatMap(alternatives);
  return [...new Set(here.flatMap((each) => Object.keys(each.properties ?? {})))];
}

function stepInto(schema: Schema, step: PropertyKey): readonly Schema[] {
  if (typeof step === "number") {
    const item = schema.prefixItems?.[step] ?? schema.items;
    return item === undefined ? [] : [item];
  }
  const property = schema.properties?.[String(step)];
  if (property !== undefined) return [property];
  return typeof schema.additionalProperties === "object" ? [schema.additionalProperties] : [];
}
