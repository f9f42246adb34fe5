/** One vision process, seen from main: started, asked, answered, ended. Its successor gets a link of its own. */
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { setPriority } from "node:os";
import type { CameraId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { Fault } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import {
  type CameraHealthMessage,
  FromVision,
  type ObserveMessage,
  type SampleMessage,
  type ToVision,
} from "../observation/messages.ts";

type Answered = Extract<FromVision, { readonly requestId: number }>;
export type AnswerOf<Kind extends Answered["kind"]> = Extract<
  Extract<Answered, { readonly kind: Kind }>["result"],
  { readonly data: unknown }
>["data"];
type Request = Extract<ToVision, { readonly requestId: number }>;
type Unnumbered<T> = T extends unknown ? Omit<T, "requestId"> : never;

export interface LinkListener {
  readonly onObserve: (message: ObserveMessage) => void;
  readonly onHealth: (message: CameraHealthMessage) => void;
  /** `bytes` are opaque: for `VisionProcess.attach` of the same stream to a later process. */
  readonly onStreamHeader: (cameraId: CameraId, bytes: Uint8Array) => void;
  /** Only while frames are sampled. */
  readonly onSample?: (message: SampleMessage) => void;
}

export interface LinkOptions {
  /** Module that runs the process. */
  readonly entry: string;
  readonly listener: LinkListener;
  /** It gives way to everything else, and is the first to go when memory ends. */
  readonly isExpendable?: boolean;
}

interface Pending {
  readonly kind: Request["kind"];
  readonly settle: (answer: Answered | Fault) => void;
}

/** So many senseless messages are no accident. */
const INVALID_MAX = 3;
const PENDING_MAX = 64;
const STDERR_LINES_MAX = 20;
/** Steps of priority given up, of 19; and how gladly the kernel ends it when memory runs out, of 1000. */
const EXPENDABLE = { nice: 10, oomScore: 900 };
/** The only variables that the process gets: it needs libraries, never secrets. */
const ENVIRONMENT = [
  // Compiled modules: without them every start and thread carries the compiler along (30 MB, 0.3 s).
  "NODE_COMPILE_CACHE",

  "PATH",
  "HOME",
  "LANG",
  "LD_LIBRARY_PATH",
  "TMPDIR",
  "CUDA_VISIBLE_DEVICES",
  "CUDA_CACHE_PATH",
];

/**
 * Two arenas: glibc would keep one per thread, and models allocate on all of them. Fixed bounds: left to
 * itself it keeps what a model's largest buffers took once (20 MB). Other C libraries do not look at these.
 */
const MALLOC = {
  MALLOC_ARENA_MAX: "2",
  MALLOC_MMAP_THRESHOLD_: String(1024 * 1024),
  MALLOC_TRIM_THRESHOLD_: String(4 * 1024 * 1024),
};
/** ONNX Runtime reports sessions and models to its maker, and keeps an id and a database in the home directory. */
const SILENT = { ORT_DISABLE_TELEMETRY: "1" };

export class VisionLink {
  readonly #child: ChildProcess;
  readonly #listener: LinkListener;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #invalid = 0;
  #hasEnded = false;
  /** Resolves with the reason once the process is gone; never rejects. */
  readonly ended: Promise<string>;

  constructor(
    { entry, listener, isExpendable = false }: LinkOptions,
    deps: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#listener = listener;
    this.#clock = deps.clock;
    this.#log = deps.log;
    const environment = Object.fromEntries(
      ENVIRONMENT.flatMap((name) =>
        process.env[name] === undefined ? [] : [[name, process.env[name]]],
      ),
    );
    this.#child = fork(entry, [], {
      serialization: "advanced",
      // Small nurseries: what is allocated per frame dies with it.
      execArgv: ["--max-semi-space-size=4"],
      env: { ...environment, ...MALLOC, ...SILENT },
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    // Before it has started a thread: those that it starts inherit it.
    if (isExpendable) giveWay(this.#child.pid);
    this.#child.on("message", (message) => this.#received(message));
    this.#logStderr();
    this.ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        this.#hasEnded = true;
        for (const { settle } of [...this.#pending.values()]) settle(restarted());
        resolve(reason);
      };
      this.#child.on("exit", (code, signal) => end(signal ?? `exit code ${code}`));
      this.#child.on("error", (error) => {
        this.kill();
        // Without a pid it never started, and no exit follows.
        if (this.#child.pid === undefined) end(error.message);
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get invalidMessages(): number {
    return this.#invalid;
  }

  /** At once: a process that hangs hears nothing else, and it has nothing to save. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** Without an answer. A frame socket stays open here as well, so that a successor can have it. */
  tell(message: Exclude<ToVision, Request>, socket?: Socket): void {
    if (!this.#child.connected) return;
    // A failure to send means that the process is ending, which `ended` tells.
    this.#child.send(message, socket, { keepOpen: true }, () => undefined);
  }

  /**
   * @throws Fault `vision_restarted` (retry now), `vision_timeout`, `vision_busy`, `aborted`, or the code that vision answered
   */
  async ask<Kind extends Request["kind"]>(
    request: Unnumbered<Extract<Request, { readonly kind: Kind }>> & { readonly kind: Kind },
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<AnswerOf<Kind>> {
    if (signal?.aborted === true) throw aborted(request.kind);
    if (this.#hasEnded || !this.#child.connected) throw restarted();
    if (this.#pending.size >= PENDING_MAX)
      throw new Fault("vision_busy", "too many requests wait for vision; try again", {
        retry: "later",
      });
    const requestId = this.#nextId;
    this.#nextId += 1;
    const over = new AbortController();
    const answer = await new Promise<Answered | Fault>((settle) => {
      this.#pending.set(requestId, { kind: request.kind, settle });
      signal?.addEventListener("abort", () => settle(aborted(request.kind)), {
        once: true,
        signal: over.signal,
      });
      void this.#clock
        .sleep(timeoutMs, over.signal)
        .then(() => settle(timedOut(request.kind, timeoutMs)));
      this.#child.send(
        { ...request, requestId },
        undefined,
        {},
        (error) => error !== null && settle(restarted()),
      );
    });
    this.#pending.delete(requestId);
    over.abort();
    if (answer instanceof Fault) throw answer;
    if ("error" in answer.result)
      throw new Fault(answer.result.error.code, answer.result.error.message);
    return answer.result.data as AnswerOf<Kind>;
  }

  #received(raw: unknown): void {
    const parsed = FromVision.safeParse(raw);
    if (parsed.success) this.#understood(parsed.data);
    else this.#refuse(parsed.error.issues[0]?.path.join(".") ?? "");
  }

  #understood(message: FromVision): void {
    switch (message.kind) {
      case "observe":
        this.#listener.onObserve(message);
        break;
      case "camera-health":
        this.#listener.onHealth(message);
        break;
      case "stream-header":
        this.#listener.onStreamHeader(message.cameraId, message.bytes);
        break;
      case "sample":
        this.#listener.onSample?.(message);
        break;
      default: {
        const pending = this.#pending.get(message.requestId);
        // An answer that comes after its time limit is nothing bad; one to another question is.
        if (pending !== undefined && pending.kind !== message.kind) this.#refuse("kind");
        else pending?.settle(message);
      }
    }
  }

  #refuse(path: string): void {
    this.#invalid += 1;
    this.#log.warn(
      { path: path.slice(0, 100), count: this.#invalid },
      "vision sent a message that makes no sense",
    );
    if (this.#invalid >= INVALID_MAX) this.kill();
  }

  #logStderr(): void {
    let lines = 0;
    this.#child.stderr?.setEncoding("utf8");
    this.#child.stderr?.on("data", (text: string) => {
      for (const line of text.split("\n")) {
        if (line === "" || lines >= STDERR_LINES_MAX) continue;
        lines += 1;
        this.#log.warn({ line: line.slice(0, 300) }, "vision wrote to stderr");
      }
    });
  }
}

function giveWay(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, EXPENDABLE.nice);
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(EXPENDABLE.oomScore));
  } catch {
    // It has ended already, which its exit tells, or this kernel does not let us: then it is as all others.
  }
}

const restarted = (): Fault =>
  new Fault(
    "vision_restarted",
    "the vision process was replaced while it worked on this; ask again",
    { retry: "now" },
  );
const aborted = (kind: string): Fault =>
  new Fault("aborted", `${kind} was given up by its caller`, { retry: "later" });
const timedOut = (kind: string, ms: number): Fault =>
  new Fault("vision_timeout", `vision did not answer ${kind} within ${ms} ms; try again`, {
    retry: "later",
  });
