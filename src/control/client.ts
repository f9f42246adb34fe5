/** The CLI's end of the control socket. */
import { connect, type Socket } from "node:net";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import {
  CONTROL_PROTOCOL,
  ControlReply,
  Greeting,
  LINE_MAX_BYTES,
  LineReader,
} from "./protocol.ts";

export interface AskOptions {
  /** 8 to 64 of A-Z a-z 0-9 _ -; repeat it to learn what became of an earlier request. */
  readonly id: string;
  readonly onProgress?: (progress: unknown) => void;
}

interface Waiting {
  readonly onReply: (reply: ControlReply) => void;
  readonly onLost: (fault: Fault) => void;
}

export class ControlClient implements Disposable {
  readonly #socket: Socket;
  readonly #path: string;
  readonly #waiting = new Map<string, Waiting>();
  readonly #lines = new LineReader();
  #greet: ((fault: Fault | undefined) => void) | undefined;
  #lost: Fault | undefined;

  private constructor(socket: Socket, path: string) {
    this.#socket = socket;
    this.#path = path;
  }

  /**
   * Connects and checks that both sides speak the same protocol.
   * @throws Fault `control_unreachable` (no daemon, or no right to speak to it), `control_protocol`
   */
  static async connect(path: string, signal?: AbortSignal): Promise<ControlClient> {
    const socket = connect(path);
    const client = new ControlClient(socket, path);
    const stop = (): void => client.#fail(new Fault("aborted", "interrupted"));
    try {
      await new Promise<void>((resolve, reject) => {
        client.#greet = (fault) => (fault === undefined ? resolve() : reject(fault));
        socket.on("data", (chunk) => client.#received(chunk as Buffer));
        socket.on("error", (error) => client.#fail(unreachable(path, error)));
        socket.on("close", () =>
          client.#fail(
            new Fault(
              "control_unreachable",
              `the daemon closed the connection on ${path}: is it stopping?`,
              { retry: "later" },
            ),
          ),
        );
        signal?.addEventListener("abort", stop, { once: true });
        if (signal?.aborted) stop();
      });
    } catch (fault) {
      socket.destroy();
      throw fault;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
    return client;
  }

  /**
   * Sends a command and waits for its final answer; refusals are answers.
   * @throws Fault `control_unreachable` when the connection is lost, `aborted`
   */
  ask(cmd: string, args: unknown, options: AskOptions, signal?: AbortSignal): Promise<Answer> {
    const line = `${JSON.stringify({ id: options.id, cmd, args })}\n`;
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost);
      if (Buffer.byteLength(line) > LINE_MAX_BYTES)
        return reject(
          new Fault(
            "too_large",
            `a request is at most ${LINE_MAX_BYTES} bytes: send smaller pictures`,
          ),
        );
      const leave = (): void => {
        this.#waiting.delete(options.id);
        signal?.removeEventListener("abort", stop);
      };
      const stop = (): void => {
        leave();
        reject(new Fault("aborted", "interrupted"));
      };
      this.#waiting.set(options.id, {
        onReply: (reply) => {
          const { answer } = reply;
          if (!reply.final) {
            if (answer.ok) options.onProgress?.(answer.progress);
            return;
          }
          leave();
          resolve(answer);
        },
        onLost: (fault) => {
          leave();
          reject(fault);
        },
      });
      signal?.addEventListener("abort", stop, { once: true });
      if (signal?.aborted) return stop();
      this.#socket.write(line);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #received(chunk: Buffer): void {
    const lines = this.#lines.push(chunk);
    if (lines === undefined)
      this.#fail(foreign(this.#path, "sends longer lines than a daemon does"));
    for (const line of lines ?? []) this.#line(line);
  }

  #line(line: string): void {
    const json = parse(line);
    if (this.#greet !== undefined) this.#greeted(json);
    else this.#replied(json);
  }

  #greeted(json: unknown): void {
    const greeting = Greeting.safeParse(json);
    if (!greeting.success || greeting.data.protocol !== CONTROL_PROTOCOL) {
      this.#fail(foreign(this.#path, "speaks another version"));
      return;
    }
    const greet = this.#greet;
    this.#greet = undefined;
    greet?.(undefined);
  }

  #replied(json: unknown): void {
    const reply = ControlReply.safeParse(json);
    if (!reply.success) {
      this.#fail(foreign(this.#path, "answers in a way this CLI does not know"));
      return;
    }
    const { id, answer } = reply.data;
    if (id !== null) this.#waiting.get(id)?.onReply(reply.data);
    else if (answer.ok) this.#fail(foreign(this.#path, "answers nobody"));
    else this.#fail(new Fault(answer.error.code, answer.error.message));
  }

  #fail(fault: Fault): void {
    this.#lost ??= fault;
    this.#socket.destroy();
    const greet = this.#greet;
    this.#greet = undefined;
    greet?.(this.#lost);
    for (const waiting of [...this.#waiting.values()]) waiting.onLost(this.#lost);
  }
}

function foreign(path: string, what: string): Fault {
  return new Fault("control_protocol", `${path} ${what}: use the CLI of the installed daemon`);
}

function unreachable(path: string, error: unknown): Fault {
  const code = codeOf(error);
  const fix =
    code === "EACCES"
      ? "join the group ostiary-admin, or use sudo"
      : "is the daemon running? `systemctl status ostiary` says";
  return new Fault("control_unreachable", `cannot reach the daemon on ${path} (${code}): ${fix}`, {
    retry: "later",
    cause: error,
  });
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
