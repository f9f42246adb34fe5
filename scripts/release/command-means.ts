/** What all commands share: the workspace they mean, its lock, keys and passphrases, and how they end. */
import { join, resolve } from "node:path";
import type { Arguments } from "../../src/cli/arguments.ts";
import type { Action, CommandContext } from "../../src/cli/command.ts";
import { EXIT, type ExitCode, ExitFault, exitOf, usage } from "../../src/cli/exit.ts";
import { printJson } from "../../src/cli/terminal.ts";
import { codeOf, Fault, messageOf } from "../../src/lib/fault.ts";
import { createClock } from "../../src/system/clock.ts";
import { FleetBroker } from "./broker.ts";
import { readFleet } from "./fleet.ts";
import { askOn, passphrasesFrom } from "./passphrases.ts";
import type { Rollouts } from "./rollouts.ts";
import { KeyEntry, KeyName } from "./settings.ts";
import { lock, type Means, Workspace } from "./workspace.ts";

export interface Outcome {
  readonly exit?: ExitCode;
  /** For `--json`. */
  readonly data: object;
  readonly text: string;
}

/** A command whose result is printed here, as text or as JSON; refusals too. */
export function action(run: (context: CommandContext, means: Means) => Promise<Outcome>): Action {
  return async (context) => {
    const { args, terminal, signal } = context;
    try {
      const { exit = EXIT.ok, data, text } = await run(context, meansOf(context));
      if (args.flag("json")) printJson(terminal, { schema: 1, ok: true, ...data });
      else terminal.out(text);
      return exit;
    } catch (thrown) {
      const fault = withExit(thrown);
      if (!args.flag("json") || signal.aborted) throw fault;
      const error = { code: codeOf(fault), message: messageOf(fault) };
      printJson(terminal, { schema: 1, ok: false, error });
      return exitOf(fault);
    }
  };
}

/** What we refuse ends with 3; broker and configuration have codes of their own. */
function withExit(thrown: unknown): unknown {
  if (!(thrown instanceof Fault) || thrown instanceof ExitFault) return thrown;
  const exit = exitOf(thrown);
  return exit === EXIT.failed
    ? new ExitFault(EXIT.refused, thrown.code, thrown.message, thrown)
    : thrown;
}

function meansOf({ args, terminal }: CommandContext): Means {
  const { stdin } = process;
  return {
    now: createClock().epochMs,
    passphrases: passphrasesFrom({
      files: pairs(args, "passphrase-file", true),
      env: terminal.env,
      ask: stdin.isTTY ? askOn(stdin, terminal.error) : undefined,
    }),
    keyFiles: pairs(args, "key-file", false),
  };
}

/** `KEY=VALUE`; a value alone counts for all keys where that makes sense. */
function pairs(args: Arguments, option: string, mayBeAlone: boolean): ReadonlyMap<string, string> {
  return new Map(
    args.list(option).map((text) => {
      const [name = "", ...rest] = text.split("=");
      if (rest.length > 0 && KeyName.safeParse(name).success)
        return [name, rest.join("=")] as const;
      if (mayBeAlone) return ["", text] as const;
      throw usage(`--${option} must be KEY=…, not "${text}"`);
    }),
  );
}

/** Keys that are held elsewhere, from `--external` and `--signer`. */
export function externalOf(args: Arguments): ReadonlyMap<string, KeyEntry> {
  const publicKeys = pairs(args, "external", false);
  const signer = args.optional("signer");
  if (publicKeys.size > 0 && signer === undefined)
    throw usage("--external needs --signer: the program that signs with the token");
  return new Map(
    [...publicKeys].map(([name, publicKey]) => {
      const parsed = KeyEntry.safeParse({ publicKey, command: [resolve(signer ?? ""), name] });
      if (parsed.success) return [name, parsed.data] as const;
      throw usage(
        `--external ${name}: the public key ${parsed.error.issues[0]?.message ?? "is invalid"}`,
      );
    }),
  );
}

export function directoryOf({ args, terminal }: CommandContext): string {
  return resolve(args.optional("dir") ?? terminal.env["OSTIARY_RELEASE"] ?? ".");
}

/** The workspace, ours alone until disposed. */
export async function openWorkspace(
  context: CommandContext,
): Promise<Disposable & { readonly workspace: Workspace }> {
  const workspace = await Workspace.open(directoryOf(context));
  const held = await lock(workspace);
  return { workspace, [Symbol.dispose]: () => held[Symbol.dispose]() };
}

/** Workspace, fleet and broker, for as long as a command runs. */
export async function openRollouts(
  context: CommandContext,
  means: Means,
): Promise<Rollouts & AsyncDisposable> {
  const { args, signal } = context;
  const silenceMs = 1000 * args.number("wait", 0, 600);
  await using stack = new AsyncDisposableStack();
  const { workspace } = stack.use(await openWorkspace(context));
  const fleet = await readFleet(args.optional("fleet") ?? join(workspace.directory, "fleet.yaml"));
  const broker =
    fleet.broker === undefined || args.flag("offline")
      ? undefined
      : stack.use(await FleetBroker.open(fleet.broker, signal));
  const owned = stack.move();
  return {
    workspace,
    fleet,
    broker,
    means,
    silenceMs,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
