/**
 * The control socket: what an operator on this machine may ask for. Whoever may open it is an administrator,
 * so its file mode is the whole of its authority: owner and group (`ostiary-admin`) only.
 */
import { chmod, unlink } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "../lib/clock.ts";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { isProgress, refusal } from "./command.ts";
import type { AnswerSink } from "./dispatcher.ts";
import { CONTROL_PROTOCOL, ControlRequest, LINE_MAX_BYTES, LineReader } from "./protocol.ts";

export interface ControlSocketOptions {
  readonly path: string;
  readonly version: string;
  /** A connection that asks nothing for this long is closed. */
  readonly idleMs?: number;
  readonly connectionsMax?: number;
  /** Requests of one connection that may be open at once; beyond, `busy`. */
  readonly requestsMax?: number;
}

export interface ControlSocketDeps {
  readonly log: Log;
  readonly clock: Clock;
  readonly dispatcher: {
    readonly submitLocal: (
      request: { readonly id: string; readonly name: string; readonly args: unknown },
      onAnswer: AnswerSink,
    ) => Promise<void>;
  };
}

const MODE = 0o660;
const EXAMPLE =
  'a request is one line of JSON: {"id":"8 to 64 characters","cmd":"identity/get","args":{}}';

export class ControlSocket implements AsyncDisposable {
  readonly #options: Required<ControlSocketOptions>;
  readonly #deps: ControlSocketDeps;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: ControlSocketOptions, deps: ControlSocketDeps) {
    this.#options = { idleMs: 300_000, connectionsMax: 16, requestsMax: 16, ...options };
    this.#deps = deps;
    this.#server = createServer((socket) => this.#accept(socket));
    this.#server.maxConnections = this.#options.connectionsMax;
  }

  /** @throws Fault `control_socket_in_use`, `control_socket_unavailable` */
  static async open(
    options: ControlSocketOptions,
    deps: ControlSocketDeps,
  ): Promise<ControlSocket> {
    await removeStale(options.path);
    const control = new ControlSocket(options, deps);
    await new Promise<void>((resolve, reject) => {
      control.#server.once("error", (error) =>
        reject(
          new Fault(
            "control_socket_unavailable",
            `cannot listen on ${options.path} (${codeOf(error)}): does its directory exist and belong to the service user?`,
            { cause: error },
          ),
        ),
      );
      control.#server.listen(options.path, resolve);
    });
    // Until here the umask keeps the group out; systemd's RuntimeDirectory keeps everybody else out.
    await chmod(options.path, MODE);
    control.#server.on("error", (error) =>
      deps.log.warn({ code: codeOf(error) }, "control socket"),
    );
    return control;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    const connection = new Connection(socket, this.#options, this.#deps);
    socket.on("close", () => {
      this.#sockets.delete(socket);
      connection.closed();
    });
    // A client that goes away is no news; `close` follows.
    socket.on("error", () => undefined);
    connection.start();
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #options: Required<ControlSocketOptions>;
  readonly #deps: ControlSocketDeps;
  readonly #lines = new LineReader();
  #open = 0;
  #lastMs: number;
  #stopIdle: () => void = () => undefined;

  constructor(socket: Socket, options: Required<ControlSocketOptions>, deps: ControlSocketDeps) {
    this.#socket = socket;
    this.#options = options;
    this.#deps = deps;
    this.#lastMs = deps.clock.monotonicMs();
  }

  start(): void {
    const { idleMs, version } = this.#options;
    this.#write({ ostiary: "control", protocol: CONTROL_PROTOCOL, version });
    this.#stopIdle = this.#deps.clock.every(Math.max(10, idleMs / 4), () => {
      if (this.#open === 0 && this.#deps.clock.monotonicMs() - this.#lastMs > idleMs)
        this.#socket.destroy();
    });
    this.#socket.on("data", (chunk) => this.#received(chunk as Buffer));
  }

  closed(): void {
    this.#stopIdle();
  }

  #received(chunk: Buffer): void {
    this.#lastMs = this.#deps.clock.monotonicMs();
    const lines = this.#lines.push(chunk);
    if (lines === undefined) this.#giveUp("too_large", `a line is at most ${LINE_MAX_BYTES} bytes`);
    for (const line of lines ?? []) {
      if (line.trim() !== "" && !this.#socket.writableEnded) this.#request(line);
    }
  }

  #request(line: string): void {
    const request = ControlRequest.safeParse(parse(line));
    if (!request.success) {
      this.#giveUp("malformed", EXAMPLE);
      return;
    }
    const { id, cmd, args } = request.data;
    if (this.#open >= this.#options.requestsMax) {
      this.#answer(id, refusal("busy", "too many requests are open on this connection"));
      return;
    }
    this.#open += 1;
    void this.#deps.dispatcher
      .submitLocal({ id, name: cmd, args }, (answer) => this.#answer(id, answer))
      .then(() => {
        this.#open -= 1;
        this.#lastMs = this.#deps.clock.monotonicMs();
      });
  }

  #giveUp(code: string, message: string): void {
    this.#answer(null, refusal(code, message));
    this.#socket.end();
    this.#socket.removeAllListeners("data");
    this.#socket.resume();
  }

  #answer(id: string | null, answer: Answer): void {
    this.#write({ id, final: !isProgress(answer), answer });
  }

  /** A client that does not read is cut off rather than buffered for. */
  #write(message: unknown): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.writableLength > 2 * LINE_MAX_BYTES) {
      this.#socket.destroy();
      return;
    }
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A socket file that nobody answers on was left by a crash. */
async function removeStale(path: string): Promise<void> {
  const state = await new Promise<"served" | "stale" | "absent">((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve("served");
    });
    probe.once("error", (error) => resolve(codeOf(error) === "ENOENT" ? "absent" : "stale"));
  });
  if (state === "served")
    throw new Fault("control_socket_in_use", `another daemon answers on ${path}: stop it first`);
  if (state === "stale") await unlink(path);
}
