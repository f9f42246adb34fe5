/**
 * Messages to systemd, sent by its own `systemd-notify` program (sd_notify(3)): Node has no datagram
 * sockets of the Unix kind. The program sends its own pid, so the unit needs `NotifyAccess=all`.
 */
import { execFile } from "node:child_process";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { monotonicMicros } from "./clock.ts";

export interface NotifierOptions {
  /** `$NOTIFY_SOCKET`; without it nothing is sent. */
  readonly socket: string | undefined;
  readonly program?: string;
  /** A child that takes longer is killed and counted as a failure. */
  readonly timeoutMs?: number;
  /** Messages that may wait; beyond, the oldest is dropped and counted. */
  readonly queueMax?: number;
}

export interface NotifierStats {
  readonly sent: number;
  readonly failed: number;
  readonly dropped: number;
}

export class Notifier implements AsyncDisposable {
  readonly #options: Required<Omit<NotifierOptions, "socket">> & {
    readonly socket: string | undefined;
  };
  readonly #log: Log;
  readonly #waiting: (readonly string[])[] = [];
  #running: Promise<void> | undefined;
  #sent = 0;
  #failed = 0;
  #dropped = 0;

  constructor(options: NotifierOptions, deps: { readonly log: Log }) {
    this.#options = { program: "systemd-notify", timeoutMs: 5000, queueMax: 16, ...options };
    this.#log = deps.log;
  }

  get stats(): NotifierStats {
    return { sent: this.#sent, failed: this.#failed, dropped: this.#dropped };
  }

  ready(status: string): void {
    this.#put(["READY=1", statusLine(status)]);
  }

  /** Systemd from version 253 waits for the time stamp before it believes a reload. */
  reloading(): void {
    this.#put(["RELOADING=1", `MONOTONIC_USEC=${monotonicMicros()}`]);
  }

  stopping(status: string): void {
    this.#put(["STOPPING=1", statusLine(status)]);
  }

  status(status: string): void {
    this.#put([statusLine(status)]);
  }

  /** Feeds the watchdog. Skipped while an earlier feed still waits: one is as good as two. */
  watchdog(): void {
    if (!this.#waiting.some((message) => message.includes("WATCHDOG=1"))) this.#put(["WATCHDOG=1"]);
  }

  extendTimeout(ms: number): void {
    this.#put([`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`]);
  }

  /** Waits until everything that was said has left, or failed. */
  async flush(): Promise<void> {
    await this.#running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.flush();
  }

  #put(message: readonly string[]): void {
    if (this.#options.socket === undefined || this.#options.socket === "") return;
    this.#waiting.push(message);
    if (this.#waiting.length > this.#options.queueMax) {
      this.#waiting.shift();
      this.#dropped += 1;
    }
    this.#running ??= this.#drain();
  }

  async #drain(): Promise<void> {
    for (
      let message = this.#waiting.shift();
      message !== undefined;
      message = this.#waiting.shift()
    ) {
      await this.#send(message);
    }
    this.#running = undefined;
  }

  #send(message: readonly string[]): Promise<void> {
    const { program, socket, timeoutMs } = this.#options;
    const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", NOTIFY_SOCKET: socket };
    return new Promise((resolve) => {
      execFile(
        program,
        [...message],
        { env, timeout: timeoutMs, killSignal: "SIGKILL" },
        (error) => {
          if (error === null) {
            this.#sent += 1;
          } else {
            this.#failed += 1;
            if (this.#failed === 1)
              this.#log.warn(
                { code: codeOf(error), program },
                "systemd was not notified: is the program installed?",
              );
          }
          resolve();
        },
      );
    });
  }
}

/** One line: a line break would begin another variable. */
function statusLine(status: string): string {
  return `STATUS=${status.replaceAll(/[\r\n]+/g, " ").slice(0, 500)}`;
}
