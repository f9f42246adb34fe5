/** The generated reference: `config/README.md` and `config/ostiary.schema.json`. */
import { alternatives, inputSchema, type Schema } from "./json-schema.ts";
import { FileConfig } from "./schema.ts";

export function referenceSchema(): string {
  const schema = {
    ...inputSchema(FileConfig),
    $id: "ostiary.schema.json",
    title: "Configuration of Ostiary",
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

export function referencePage(): string {
  const schema = inputSchema(FileConfig);
  const sections = Object.entries(schema.properties ?? {}).map(([name, part]) => {
    const rows = rowsOf(part, name, schema.required?.includes(name) ?? false);
    return [
      `## \`${name}\``,
      "",
      "| key | type | default | meaning |",
      "|---|---|---|---|",
      ...rows,
      "",
    ].join("\n");
  });
  return [HEAD, ...sections].join("\n");
}

const HEAD = `# Configuration

One YAML file, by default \`/etc/ostiary/ostiary.yaml\`; \`ostiary.example.yaml\` is one to start from and
\`ostiary.schema.json\` lets an editor complete and check it. \`ostiary check\` says what is wrong with yours,
\`ostiary config print\` what is in force. Unknown keys are refused. Relative paths start at the file's folder.
\`systemctl reload ostiary\` (SIGHUP) applies changes of \`access\`, \`match\`, \`decision\`, \`enrolment\`,
\`control.keys\`, \`control.snapshot\`, \`telemetry.level\` and \`cameras\`; everything else asks for a restart.

This page is generated from the schema (\`scripts/node src/config/write-reference.ts\`); a test keeps it true.
\`[]\` stands for each entry of a list, \`*\` for a name of your choice.
`;

function rowsOf(schema: Schema, path: string, required: boolean): readonly string[] {
  const own = `| \`${path}\` | ${typeOf(schema)} | ${required && schema.default === undefined ? "**required**" : defaultOf(schema)} | ${meaningOf(schema)} |`;
  const below: string[] = [];
  const seen = new Set<string>();
  for (const each of alternatives(schema)) {
    for (const [key, part] of Object.entries(each.properties ?? {})) {
      if (seen.has(key)) continue;
      seen.add(key);
      below.push(...rowsOf(part, `${path}.${key}`, each.required?.includes(key) ?? false));
    }
    if (each.items !== undefined && isDeep(each.items))
      below.push(...rowsOf(each.items, `${path}[]`, false));
    if (typeof each.additionalProperties === "object" && isDeep(each.additionalProperties)) {
      below.push(...rowsOf(each.additionalProperties, `${path}.*`, false));
    }
  }
  return [own, ...below];
}

function isDeep(schema: Schema): boolean {
  return alternatives(schema).some(
    (each) =>
      each.properties !== undefined ||
      each.items !== undefined ||
      typeof each.additionalProperties === "object",
  );
}

function typeOf(schema: Schema): string {
  const choices = schema.anyOf ?? schema.oneOf;
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined)
    return schema.enum.map((value) => `\`${String(value)}\``).join(" ");
  if (choices !== undefined) return [...new Set(choices.map(typeOf))].join(" or ");
  if (schema.type === "array")
    return schema.items === undefined ? "list" : `list of ${typeOf(schema.items)}`;
  if (schema.type === "object")
    return typeof schema.additionalProperties === "object" && schema.properties === undefined
      ? "map"
      : "section";
  return `${String(schema.type ?? "any")}${rangeOf(schema)}`;
}

function rangeOf(schema: Schema): string {
  const least = schema.exclusiveMinimum === undefined ? schema.minimum : schema.exclusiveMinimum;
  const most = schema.exclusiveMaximum === undefined ? schema.maximum : schema.exclusiveMaximum;
  // ±2^53 is how the schema says "any whole number".
  const isNamed = (value: number | undefined): value is number =>
    value !== undefined && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  if (isNamed(least) && isNamed(most))
    return ` ${schema.exclusiveMinimum === undefined ? "" : "> "}${least} to ${most}`;
  if (isNamed(least)) return ` ${schema.exclusiveMinimum === undefined ? "≥" : ">"} ${least}`;
  return isNamed(most) ? ` ≤ ${most}` : "";
}

function defaultOf(schema: Schema): string {
  if (schema.default === undefined) return "";
  const text = JSON.stringify(schema.default);
  return text.length > 80 ? "see below" : `\`${text}\``;
}

const meaningOf = (schema: Schema): string =>
  (schema.description ?? "").replaceAll("|", "\\|").replaceAll(/\s+/g, " ").replaceAll("<", "&lt;");
