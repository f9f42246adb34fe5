/** Where passphrases come from: a file, the environment, the terminal. Never the command line. */
import { readFile } from "node:fs/promises";
import { codeOf, Fault } from "../../src/lib/fault.ts";
import type { Passphrases } from "./keys.ts";

/** Shorter ones are guessed before scrypt is any help. */
const LENGTH_MIN = 12;

export interface PassphraseSources {
  /** By key name; "" for all keys. */
  readonly files: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Asks on the terminal; undefined where there is none. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
}

/** Asked once per key. */
export function passphrasesFrom(sources: PassphraseSources): Passphrases {
  const known = new Map<string, string>();
  return async (name, isNew) => {
    const found =
      known.get(name) ?? (await given(name, sources)) ?? (await asked(name, isNew, sources));
    if (isNew && found.length < LENGTH_MIN)
      throw new Fault(
        "passphrase_short",
        `the passphrase of ${name} has ${found.length} characters: take at least ${LENGTH_MIN}`,
      );
    known.set(name, found);
    return found;
  };
}

async function given(name: string, { files, env }: PassphraseSources): Promise<string | undefined> {
  const file = files.get(name) ?? files.get("");
  if (file !== undefined) {
    const text = await readFile(file, "utf8").catch((thrown: unknown) => {
      throw new Fault(
        "passphrase_missing",
        `cannot read the passphrase of ${name} from ${file} (${codeOf(thrown)})`,
      );
    });
    return text.replace(/\r?\n$/, "");
  }
  const variable = `OSTIARY_PASSPHRASE_${name.toUpperCase().replaceAll("-", "_")}`;
  return env[variable] ?? env["OSTIARY_PASSPHRASE"];
}

async function asked(name: string, isNew: boolean, { ask }: PassphraseSources): Promise<string> {
  if (ask === undefined) {
    throw new Fault(
      "passphrase_missing",
      `no passphrase for ${name}: give --passphrase-file ${name}=FILE, or run this in a terminal`,
    );
  }
  const first = await ask(`passphrase of ${name}: `);
  if (isNew && (await ask(`the same again: `)) !== first)
    throw new Fault("passphrase_mismatch", "the two passphrases differ: try again");
  return first;
}

/** Reads a line from a terminal without showing it. */
export function askOn(
  input: NodeJS.ReadStream,
  say: (text: string) => void,
): (question: string) => Promise<string> {
  return (question) =>
    new Promise((resolve, reject) => {
      let typed = "";
      // Before the question: who answers at once is not shown either.
      input.setRawMode(true);
      say(question);
      input.setEncoding("utf8");
      const end = (finish: () => void): void => {
        input.off("data", onData);
        input.setRawMode(false);
        input.pause();
        say("\n");
        finish();
      };
      const press = (key: string): void => {
        if (key === "\r" || key === "\n" || key === "\u0004") end(() => resolve(typed));
        else if (key === "\u0003")
          end(() => reject(new Fault("interrupted", "interrupted at the passphrase")));
        else if (key === "\u007f" || key === "\b") typed = typed.slice(0, -1);
        else typed += key;
      };
      const onData = (text: string | Buffer): void => {
        for (const key of String(text)) press(key);
      };
      input.on("data", onData);
      input.resume();
    });
}
