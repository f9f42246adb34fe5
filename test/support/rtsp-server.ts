/** A real RTSP server on loopback, playing clips: `scripts/demo/rtsp-server.py` as a child that tests can kill. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";

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
  /** Sends `{play, clip}`, `{freeze}` or `{thaw}` (see the script) and waits until it was done. */
  readonly command: (request: Readonly<Record<string, string>>) => Promise<void>;
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
  const lines = createInterface({ input: child.stdout });
  const first = await nextLine(lines, child, () => complaint);
  const { port } = JSON.parse(first) as { port: number };
  const credentials =
    options.auth === undefined ? "" : `${options.auth.user}:${options.auth.password}@`;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    await once(child, "exit");
  };
  return {
    port,
    url: (name) => `rtsp://${credentials}127.0.0.1:${port}/${name}`,
    command: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      await nextLine(lines, child, () => complaint);
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    [Symbol.asyncDispose]: () => end("SIGKILL"),
  };
}

function nextLine(lines: Interface, child: ChildProcess, complaint: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const onExit = (): void => reject(new Error(`the RTSP server ended: ${complaint()}`));
    child.once("exit", onExit);
    lines.once("line", (line) => {
      child.off("exit", onExit);
      resolve(line);
    });
  });
}
