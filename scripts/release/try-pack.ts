/** Runs a pack's models on its golden vectors in a process of its own: a bad model may crash it. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Fault } from "../../src/lib/fault.ts";

const TRY_MS = 300_000;

/** @throws Fault of opening the models, or `pack_crashes` */
export async function tryPack(directory: string, signal?: AbortSignal): Promise<void> {
  const child = fork(fileURLToPath(new URL("try-pack-child.ts", import.meta.url)), [directory], {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    timeout: TRY_MS,
    killSignal: "SIGKILL",
    ...(signal === undefined ? {} : { signal }),
  });
  let said: unknown;
  child.on("message", (message) => {
    said = message;
  });
  const end = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, name) => resolve(name ?? `exit code ${code}`));
  });
  signal?.throwIfAborted();
  const answer = said as { readonly code?: string; readonly message?: string } | undefined;
  if (answer === undefined)
    throw new Fault(
      "pack_crashes",
      `the models of ${directory} ended the process that tried them (${end})`,
    );
  if (answer.code !== undefined) throw new Fault(answer.code, String(answer.message));
}
