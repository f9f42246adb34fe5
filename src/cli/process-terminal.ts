/** The terminal of this process. */
import type { Terminal } from "./terminal.ts";

export function terminalOf(process: NodeJS.Process): Terminal {
  // A reader that has seen enough (`ostiary … | head`) is no fault.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  return {
    out: (text) => void process.stdout.write(text),
    error: (text) => void process.stderr.write(text),
    interactive: process.stderr.isTTY === true && process.env["TERM"] !== "dumb",
    columns: () => process.stderr.columns ?? 80,
    env: process.env,
  };
}
