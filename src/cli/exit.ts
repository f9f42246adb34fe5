/** How a command ends: the documented exit codes, and the faults that carry one. */
import { codeOf, Fault } from "../lib/fault.ts";

export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** The thing asked for does not exist, or the daemon or a check refused. */
  refused: 3,
  /** The daemon does not answer on its control socket, or not in time. */
  unreachable: 4,
  /** The configuration file is missing or invalid. */
  config: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A fault with the exit code that it ends the command with. */
export class ExitFault extends Fault {
  override readonly name = "ExitFault";
  readonly exit: ExitCode;

  constructor(exit: ExitCode, code: string, message: string, cause?: unknown) {
    super(code, message, cause === undefined ? {} : { cause });
    this.exit = exit;
  }
}

export const usage = (message: string): ExitFault => new ExitFault(EXIT.usage, "usage", message);
export const refused = (code: string, message: string): ExitFault =>
  new ExitFault(EXIT.refused, code, message);

const UNREACHABLE: ReadonlySet<string> = new Set([
  "control_unreachable",
  "broker_unreachable",
  "broker_not_trusted",
  "broker_refused",
  "connection_lost",
  "no_answer",
  "ECONNREFUSED",
]);
const REFUSED: ReadonlySet<string> = new Set([
  "checksum_mismatch",
  "preset_unknown",
  "store_locked",
  "ENOENT",
  "EACCES",
]);

/** The exit code of anything that was thrown. */
export function exitOf(thrown: unknown): ExitCode {
  if (thrown instanceof ExitFault) return thrown.exit;
  const code = codeOf(thrown);
  if (UNREACHABLE.has(code)) return EXIT.unreachable;
  if (code.startsWith("config")) return EXIT.config;
  return REFUSED.has(code) ? EXIT.refused : EXIT.failed;
}
