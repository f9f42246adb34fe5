/**
 * One decoder process and the socket its frames come on. Main holds the socket and never reads it: it is
 * handed to vision, and again to the next vision, while the decoder runs on.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { DecoderCommand } from "./decoder-command.ts";
import { type DecoderErrorCode, decoderErrorOf } from "./decoder-error.ts";

/** Last words kept of a decoder. */
const LINES_MAX = 100;
const LINE_MAX_CHARS = 500;
/** SIGTERM first, so that RTSP sessions are closed; then SIGKILL. */
const TERMINATE_MS = 1000;
/** Longest path that a Unix socket can have on Linux, less the final NUL. */
const SOCKET_PATH_MAX = 107;

export interface DecoderEnd {
  readonly code: DecoderErrorCode;
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The decoder's last line, redacted; empty when it said nothing. */
  readonly lastLine: string;
}

export interface DecoderOptions {
  readonly command: (socketPath: string) => DecoderCommand;
  /** Private to this user (mode 0700): who can connect there can pose as the camera. */
  readonly runtimeDirectory: string;
  /** Unique per decoder: part of the socket's name. */
  readonly name: string;
  /** Applied to every line before anything else looks at it. */
  readonly redact: (line: string) => string;
}

export class Decoder implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #server: Server;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #lines: string[] = [];
  #socket: Socket | undefined;
  /** Resolves with the frame socket, paused, once the decoder has opened its source and connected. */
  readonly connected: Promise<Socket>;
  /** Resolves when the process is gone; never rejects. */
  readonly ended: Promise<DecoderEnd>;

  /** @throws Fault `path_too_long`, `listen_failed` */
  static async open(options: DecoderOptions, deps: { readonly clock: Clock }): Promise<Decoder> {
    const path = join(options.runtimeDirectory, `${options.name}.sock`);
    if (Buffer.byteLength(path) > SOCKET_PATH_MAX) {
      throw new Fault(
        "path_too_long",
        `the frame socket's path ${path} is longer than ${SOCKET_PATH_MAX} bytes: choose a shorter runtime directory`,
      );
    }
    rmSync(path, { force: true });
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) =>
        reject(
          new Fault("listen_failed", `cannot listen on ${path}: ${messageOf(cause)}`, {
            cause,
            retry: "later",
          }),
        ),
      );
      server.listen(path, resolve);
    });
    return new Decoder(options, server, path, deps.clock);
  }

  private constructor(options: DecoderOptions, server: Server, path: string, clock: Clock) {
    this.#server = server;
    this.#path = path;
    this.#clock = clock;
    const { program, args, stdin } = options.command(path);
    // Its own process group: whatever it starts dies with it.
    this.#child = spawn(program, args, {
      detached: true,
      stdio: ["pipe", "ignore", "pipe"],
      env: decoderEnvironment(),
    });
    this.connected = new Promise((resolve) => {
      server.once("connection", (socket) => {
        this.#socket = socket;
        socket.on("error", () => undefined);
        this.#stopListening();
        resolve(socket);
      });
    });
    this.ended = this.#watch(options.redact);
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stdin?.end(stdin);
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The last lines of its diagnostics, redacted. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopListening();
    this.#signalGroup("SIGTERM");
    const stop = new AbortController();
    await Promise.race([this.ended, this.#clock.sleep(TERMINATE_MS, stop.signal)]);
    stop.abort();
    this.#signalGroup("SIGKILL");
    await this.ended;
    this.#socket?.destroy();
  }

  #stopListening(): void {
    this.#server.close();
    rmSync(this.#path, { force: true });
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, signal);
    } catch (thrown) {
      // ESRCH: nobody of the group is left.
      if (codeOf(thrown) !== "ESRCH") throw thrown;
    }
  }

  #watch(redact: (line: string) => string): Promise<DecoderEnd> {
    let partial = "";
    const keep = (line: string): void => {
      if (line.trim() === "") return;
      this.#lines.push(redact(line).slice(0, LINE_MAX_CHARS));
      if (this.#lines.length > LINES_MAX) this.#lines.shift();
    };
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      const parts = `${partial}${text}`.split(/[\r\n]+/);
      // An endless line is cut where redaction still sees whole URLs of sane length.
      partial = (parts.pop() ?? "").slice(-16 * LINE_MAX_CHARS);
      for (const part of parts) keep(part);
    });
    return new Promise((resolve) => {
      this.#child.once("error", (cause) => {
        // Spawning failed: there is no process, and no "close" that says so in time.
        resolve({ code: "decoder_missing", exitCode: null, signal: null, lastLine: codeOf(cause) });
      });
      this.#child.once("close", (exitCode, signal) => {
        keep(partial);
        const code = signal === null ? decoderErrorOf(this.#lines, exitCode) : "decoder_failed";
        resolve({ code, exitCode, signal, lastLine: this.#lines.at(-1) ?? "" });
      });
    });
  }
}

/** Only what decoders need: the daemon's own environment may name its credentials. */
export function decoderEnvironment(
  environment: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  const wanted = Object.entries(environment).filter(([name]) =>
    /^(PATH|HOME|TMPDIR|LD_LIBRARY_PATH|XDG_RUNTIME_DIR|(LIBVA|GST|CUDA|NVIDIA)_[A-Z0-9_]*)$/.test(
      name,
    ),
  );
  return { ...Object.fromEntries(wanted), LC_ALL: "C.UTF-8" };
}
