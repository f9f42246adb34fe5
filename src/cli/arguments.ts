/** A command's options and operands, read by Node's own parser; what is wrong is said in one line. */
import { parseArgs } from "node:util";
import { messageOf } from "../lib/fault.ts";
import { usage } from "./exit.ts";

export interface OptionSpec {
  /** Word that stands for the value in the help; without it the option is a flag. */
  readonly value?: string;
  readonly help: string;
  readonly required?: boolean;
  readonly multiple?: boolean;
  readonly fallback?: string;
}

export interface Syntax {
  /** Words of the command, for example `evaluate verification`. */
  readonly name: string;
  /** Names of the operands; all are required. */
  readonly operands: readonly string[];
  readonly options: Readonly<Record<string, OptionSpec>>;
}

/** What the user wrote, checked against a {@link Syntax}. */
export class Arguments {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly #flags: ReadonlySet<string>;
  readonly #operands: readonly string[];

  constructor(
    values: ReadonlyMap<string, readonly string[]>,
    flags: ReadonlySet<string>,
    operands: readonly string[],
  ) {
    this.#values = values;
    this.#flags = flags;
    this.#operands = operands;
  }

  operand(index: number): string {
    const operand = this.#operands[index];
    if (operand === undefined) throw usage(`operand ${index + 1} is missing`);
    return operand;
  }

  optional(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  text(name: string): string {
    const value = this.optional(name);
    if (value === undefined) throw usage(`--${name} is required`);
    return value;
  }

  list(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  flag(name: string): boolean {
    return this.#flags.has(name);
  }

  /** @throws a usage fault when it is no finite number in [min, max] */
  number(name: string, min: number, max: number): number {
    const text = this.text(name);
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (!(value >= min && value <= max))
      throw usage(`--${name} must be a number from ${min} to ${max}, not "${text}"`);
    return value;
  }
}

/** @throws a usage fault that names the option or operand that is wrong */
export function parseArguments(argv: readonly string[], syntax: Syntax): Arguments {
  const parsed = parsedBy(argv, syntax);
  const values = new Map<string, readonly string[]>();
  const flags = new Set<string>();
  for (const [name, value] of Object.entries(parsed.values)) {
    if (value === true) flags.add(name);
    else if (Array.isArray(value)) values.set(name, value.map(String));
  }
  for (const [name, spec] of Object.entries(syntax.options)) {
    const given = values.get(name);
    if (given === undefined && spec.fallback !== undefined) values.set(name, [spec.fallback]);
    if (given === undefined && spec.required === true)
      throw usage(`--${name} ${spec.value ?? ""} is required`);
    if (given !== undefined && given.length > 1 && spec.multiple !== true)
      throw usage(`--${name} is given ${given.length} times`);
    if (given?.includes("") === true) throw usage(`--${name} is empty`);
  }
  const missing = syntax.operands[parsed.positionals.length];
  if (missing !== undefined) throw usage(`${missing} is missing`);
  const extra = parsed.positionals[syntax.operands.length];
  if (extra !== undefined) throw usage(`"${extra}" is one operand too many`);
  return new Arguments(values, flags, parsed.positionals);
}

function parsedBy(argv: readonly string[], syntax: Syntax) {
  const options = Object.fromEntries(
    Object.entries(syntax.options).map(([name, spec]) =>
      spec.value === undefined
        ? [name, { type: "boolean" as const }]
        : [name, { type: "string" as const, multiple: true }],
    ),
  );
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (fault) {
    // Node appends advice about "--" in further sentences: the first one says it.
    throw usage((messageOf(fault).split(". ")[0] ?? "").replace(/^U/, "u"));
  }
}

/** The help of one command. */
export function helpOf(syntax: Syntax, summary: string, program = "ostiary"): string {
  const operands = syntax.operands.map((name) => ` ${name}`).join("");
  const rows = Object.entries(syntax.options).map(([name, spec]): [string, string] => {
    const notes = [
      spec.required === true ? "required" : "",
      spec.multiple === true ? "may repeat" : "",
      spec.fallback === undefined ? "" : `default ${spec.fallback}`,
    ];
    const note = notes.filter((part) => part !== "").join(", ");
    return [
      `--${name}${spec.value === undefined ? "" : ` ${spec.value}`}`,
      note === "" ? spec.help : `${spec.help} (${note})`,
    ];
  });
  const width = Math.max(0, ...rows.map(([left]) => left.length));
  return [
    `${program} ${syntax.name}${operands} [options]`,
    summary,
    "",
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    "",
  ].join("\n");
}
