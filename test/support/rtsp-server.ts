/** A real RTSP server on loopback, playing clips: `scripts/demo/rtsp-server.py` as a child that tests can kill. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { end, exited, hasEnded } from "./children.ts";
import { PATIENCE_MS, within } from "./waiting.ts";

export interface RtspServerOptions {
  /** Mount name → path of an H.264 MP4. */
  readonly mounts: Readonly<Record<string, string>>;
  readonly auth?: { readonly user: string; readonly password: string };
  /** Play to the end and then close, instead of in a loop. */
  readonly playOnce?: boolean;
  /** 0 (default) takes a free port; a server that was killed can be started again on its own. */
  readonly port?: number;
}

export interface RtspServer extends AsyncDisposable {
  readonly port: number;
  readonly url: (name: string) => string;
  /** Sends `{play, clip}`, `{freeze}` or `{thaw}` (see the script) and waits until it was done. @throws when the server is gone */
  readonly command: (request: Readonly<Record<string, string>>) => Promise<void>;
  readonly running: boolean;
  readonly stop: () => Promise<void>;
  /** SIGKILL: connections die without a goodbye. */
  readonly kill: () => Promise<void>;
}

const SCRIPT = new URL("../../scripts/demo/rtsp-server.py", import.meta.url).pathname;

export async function startRtspServer(options: RtspServerOptions): Promise<RtspServer> {
  const args = ["--port", String(options.port ?? 0)];
  if (options.auth !== undefined) args.push("--user", options.auth.user);
  if (options.playOnce === true) args.push("--once");
  for (const [name, clip] of Object.entries(options.mounts)) args.push(`${name}=${clip}`);
  const child = spawn("/usr/bin/python3", [SCRIPT, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, RTSP_PASSWORD: options.auth?.password ?? "" },
  });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = `${complaint}${chunk.toString()}`.slice(-2000);
  });
  // A write to a server that is gone fails here; whoever waits for the answer hears of the exit.
  child.stdin.on("error", () => undefined);
  const lines = createInterface({ input: child.stdout });
  const gone = exited(child);
  const answer = (what: string) => nextLine(lines, gone, what, () => complaint);
  try {
    const { port } = JSON.parse(await answer("start")) as { port: number };
    const credentials =
      options.auth === undefined ? "" : `${options.auth.user}:${options.auth.password}@`;
    return {
      port,
      get running() {
        return !hasEnded(child);
      },
      url: (name) => `rtsp://${credentials}127.0.0.1:${port}/${name}`,
      command: async (request) => {
        const done = answer(JSON.stringify(request));
        child.stdin.write(`${JSON.stringify(request)}\n`);
        await done;
      },
      stop: () => end(child, "SIGTERM"),
      kill: () => end(child, "SIGKILL"),
      [Symbol.asyncDispose]: () => end(child, "SIGKILL"),
    };
  } catch (thrown) {
    await end(child, "SIGKILL");
    throw thrown;
  }
}

/** @throws at once when the server is not running, or ends before it has answered */
async function nextLine(
  lines: Interface,
  gone: Promise<void>,
  what: string,
  complaint: () => string,
): Promise<string> {
  const over = new AbortController();
  const ended = gone.then(() => {
    throw new Error(`the RTSP server is not running: ${what} was not done; ${complaint()}`);
  });
  // Nobody listens to it any more once the line has come.
  ended.catch(() => undefined);
  const line = once(lines, "line", { signal: over.signal }).then(([text]) => String(text));
  line.catch(() => undefined);
  try {
    return await within(
      Promise.race([ended, line]),
      `the RTSP server does ${what}`,
      PATIENCE_MS,
      complaint,
    );
  } finally {
    over.abort();
  }
}
