/** The demo's child processes: started in groups of their own, all gone when the demo goes. */
import { type ChildProcess, spawn } from "node:child_process";
import { createConnection, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../src/lib/fault.ts";

const STOP_MS = 6000;
const OUTPUT_KEPT = 4000;

export interface Child {
  readonly process: ChildProcess;
  /** The end of what it wrote to stderr and stdout, for the message when it dies. */
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

export class Children implements AsyncDisposable {
  readonly #children: Child[] = [];

  /** @param onLine gets each line of stdout */
  start(
    command: string,
    args: readonly string[],
    options: { readonly env?: NodeJS.ProcessEnv; readonly onLine?: (line: string) => void } = {},
  ): Child {
    const child = spawn(command, [...args], {
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
      env: options.env ?? process.env,
    });
    let kept = "";
    let rest = "";
    const keep = (text: string): void => {
      kept = (kept + text).slice(-OUTPUT_KEPT);
    };
    child.stderr.setEncoding("utf8").on("data", keep);
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      keep(text);
      const lines = (rest + text).split("\n");
      rest = (lines.pop() ?? "").slice(-OUTPUT_KEPT);
      for (const line of lines) options.onLine?.(line);
    });
    child.stdin.on("error", () => undefined);
    const ended = new Promise<number | null>((resolve) => {
      child.once("error", (fault) => {
        keep(fault.message);
        resolve(-1);
      });
      child.once("exit", (code) => resolve(code));
    });
    const started = { process: child, output: () => kept.trim(), ended };
    this.#children.push(started);
    return started;
  }

  /** Stops them all; what does not go in time is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        signalGroup(child, "SIGTERM");
        const late = new AbortController();
        const gone = child.ended.then(() => true);
        const limit = sleep(STOP_MS, false, { signal: late.signal }).catch(() => false);
        if (!(await Promise.race([gone, limit]))) signalGroup(child, "SIGKILL");
        late.abort();
      }),
    );
  }

  /** For the last moment, when nothing can be awaited any more. */
  killNow(): void {
    for (const child of this.#children) signalGroup(child, "SIGKILL");
  }
}

function signalGroup(child: Child, signal: NodeJS.Signals): void {
  const { pid } = child.process;
  if (pid === undefined || child.process.exitCode !== null || child.process.signalCode !== null)
    return;
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended between the look and the signal.
  }
}

/** A port on loopback that is free now. */
export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        resolve(typeof address === "object" && address !== null ? address.port : 0),
      );
    });
  });
}

/** @throws Fault `child_failed` when the child ends before, or the time passes */
export async function untilListening(
  port: number,
  child: Child,
  what: string,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    signal.throwIfAborted();
    if (child.process.exitCode !== null) break;
    if (await connects(port)) return;
    await sleep(50);
  }
  throw new Fault("child_failed", `${what} did not start: ${child.output() || "it said nothing"}`);
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
