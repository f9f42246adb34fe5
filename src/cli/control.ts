/**
 * The CLI's way to the daemon: its control socket. Only when nobody listens there and the store's lock
 * proves that the daemon is stopped does the CLI open the store itself, with the daemon's own commands.
 */
import { ControlClient } from "../control/client.ts";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, messageOf } from "../lib/fault.ts";
import { createClock } from "../system/clock.ts";
import { createRandom } from "../system/random.ts";
import type { CommandContext } from "./command.ts";
import { type LoadedConfig, loadConfigOf, socketOf } from "./config-file.ts";
import { EXIT, ExitFault } from "./exit.ts";
import { openOffline } from "./offline.ts";

export const DEFAULT_SOCKET = "/run/ostiary/control.sock";

export interface Control extends AsyncDisposable {
  /** @param onProgress what a long command says before its final answer */
  readonly ask: (
    command: string,
    args: unknown,
    signal: AbortSignal,
    onProgress?: (progress: unknown) => void,
  ) => Promise<Answer>;
}

/** @throws ExitFault `control_unreachable` when neither the daemon nor its store can be reached */
export async function openControl(context: CommandContext): Promise<Control> {
  const { args, terminal, signal } = context;
  // Members of ostiary-admin may speak to the daemon without being allowed to read its configuration.
  const config = await loadConfigOf(context).catch((fault: unknown) => {
    if (args.optional("config") !== undefined) throw fault;
    return undefined;
  });
  const path =
    args.optional("socket") ?? (config === undefined ? DEFAULT_SOCKET : socketOf(config));
  try {
    return overSocket(await ControlClient.connect(path, signal));
  } catch (fault) {
    if (
      signal.aborted ||
      codeOf(fault) !== "control_unreachable" ||
      args.optional("socket") !== undefined
    )
      throw fault;
    const offline = await offlineOr(config, fault);
    terminal.error("the daemon is stopped: working on its store directly\n");
    return offline;
  }
}

async function offlineOr(config: LoadedConfig | undefined, unreachable: unknown): Promise<Control> {
  if (config === undefined) throw unreachable;
  try {
    return openOffline(config);
  } catch (fault) {
    // Both say something: that nobody listens, and why the store is not ours to open.
    throw new ExitFault(
      EXIT.unreachable,
      codeOf(fault),
      `${messageOf(unreachable)}; and without it: ${messageOf(fault)}`,
      fault,
    );
  }
}

function overSocket(client: ControlClient): Control {
  const clock = createClock();
  const random = createRandom();
  return {
    ask: (command, args, signal, onProgress) =>
      client.ask(
        command,
        args,
        { id: random.id(clock.epochMs()), ...(onProgress === undefined ? {} : { onProgress }) },
        signal,
      ),
    [Symbol.asyncDispose]: async () => client[Symbol.dispose](),
  };
}
