/**
 * Runs commands: changes one after another, reads beside them, long ones in the background. The effect of a
 * change is committed with its id and number, so a repeated id gets its stored answer and no second effect,
 * and a crash before the commit leaves nothing behind.
 */

import type { CommandStamp } from "../gallery/inbox.ts";
import type { RecordTransaction } from "../gallery/record.ts";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import { linked } from "../lib/signals.ts";
import {
  type Command,
  type CommandContext,
  isProgress,
  type Prepared,
  refusal,
  type Started,
} from "./command.ts";
import { COMMANDS } from "./commands/registry.ts";
import type { DispatcherDeps } from "./deps.ts";

/** A command whose sender is known. From MQTT: verified. From the control socket: `kid` is {@link LOCAL_ACTOR}. */
export interface CommandRequest {
  readonly id: string;
  readonly kid: string;
  readonly stream: string;
  readonly seq: number;
  readonly name: string;
  readonly args: unknown;
  readonly source: "mqtt" | "socket";
}

/** Stands where a key's id stands; a key's id is 16 hex digits. */
export const LOCAL_ACTOR = "local";

/** Called with any number of progress answers, then once with the final one. Must not throw. */
export type AnswerSink = (answer: Answer) => void;

interface Running {
  readonly sinks: Set<AnswerSink>;
  readonly ended: Promise<void>;
}

export class Dispatcher implements AsyncDisposable {
  readonly #deps: DispatcherDeps;
  readonly #localStream: string;
  readonly #stop = new AbortController();
  readonly #longs = new Map<string, Running>();
  readonly #inFlight = new Set<Promise<void>>();
  #localSeq = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #reading = 0;

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    this.#localStream = deps.newStream();
  }

  /** Changing commands that wait or run. */
  get waiting(): number {
    return this.#waiting;
  }

  /** A command of the control socket: its number is given here. */
  submitLocal(
    request: { readonly id: string; readonly name: string; readonly args: unknown },
    onAnswer: AnswerSink,
  ): Promise<void> {
    this.#localSeq += 1;
    return this.submit(
      {
        ...request,
        kid: LOCAL_ACTOR,
        stream: this.#localStream,
        seq: this.#localSeq,
        source: "socket",
      },
      onAnswer,
    );
  }

  /** @returns when the final answer was given; never rejects */
  submit(request: CommandRequest, onAnswer: AnswerSink): Promise<void> {
    const startedAt = this.#deps.clock.monotonicMs();
    const command = Object.hasOwn(COMMANDS, request.name) ? COMMANDS[request.name] : undefined;
    const handled = (async () => {
      const answer = await this.#handle(request, command, onAnswer).catch((thrown: unknown) =>
        this.#failed(request.name, thrown),
      );
      onAnswer(answer);
      const ms = this.#deps.clock.monotonicMs() - startedAt;
      this.#deps.onHandled?.(
        command === undefined ? "unknown" : request.name,
        answer.ok ? "ok" : answer.error.code,
        request.source,
        ms,
      );
    })();
    this.#inFlight.add(handled);
    void handled.finally(() => this.#inFlight.delete(handled));
    return handled;
  }

  /** Refuses new commands, ends long ones as interrupted, and waits for what is being committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled([...this.#inFlight]);
  }

  /** @returns the final answer */
  async #handle(
    request: CommandRequest,
    command: Command | undefined,
    onAnswer: AnswerSink,
  ): Promise<Answer> {
    if (this.#stop.signal.aborted) return stopping();
    const stored = await this.#stored(request, onAnswer);
    if (stored !== undefined) return stored;
    if (command === undefined)
      return refusal(
        "unknown_command",
        `there is no command of that name: ${Object.keys(COMMANDS).join(", ")}`,
      );
    const bound = command.bind(request.args);
    if (bound.kind === "invalid") return refusal("invalid_arguments", bound.message);
    const context: CommandContext = {
      ...this.#deps.commands,
      actor: request.kid,
      commandId: request.id,
    };
    const run = bound.run;
    if (command.kind === "read")
      return this.#read(async (signal) => (await run(context, signal)) as Answer);
    if (this.#waiting >= this.#deps.commands.options.queueMax) return busy();
    return this.#change(
      request,
      async (signal) => (await run(context, signal)) as Prepared | Started,
      onAnswer,
    );
  }

  async #read(run: (signal: AbortSignal) => Promise<Answer>): Promise<Answer> {
    if (this.#reading >= this.#deps.commands.options.readsMax) return busy();
    this.#reading += 1;
    try {
      return await this.#withDeadline(run);
    } finally {
      this.#reading -= 1;
    }
  }

  async #change(
    request: CommandRequest,
    prepare: (signal: AbortSignal) => Promise<Prepared | Started>,
    onAnswer: AnswerSink,
  ): Promise<Answer> {
    const first = await this.#inTurn(async () => {
      if (this.#stop.signal.aborted) return { kind: "final", answer: stopping() } as const;
      // A second delivery may have waited behind the first one.
      const stored = this.#deps.inbox.answered(request.kid, request.id);
      if (stored !== undefined) return { kind: "stored" } as const;
      const prepared = await this.#withDeadline(prepare);
      const { id, kid, stream, seq } = request;
      const stamp: CommandStamp = { id, kid, stream, seq, at: this.#deps.clock.epochMs() };
      const outcome = this.#deps.inbox.commitCommand(stamp, (tx) => prepared.commit(tx));
      if (outcome.kind === "replayed") return { kind: "final", answer: replayed() } as const;
      if (outcome.kind === "repeated") return { kind: "stored" } as const;
      if (isProgress(outcome.answer) && "run" in prepared) {
        return {
          kind: "long",
          answer: outcome.answer,
          running: this.#runLong(request, prepared),
        } as const;
      }
      return { kind: "final", answer: outcome.answer } as const;
    });
    if (first.kind === "final") return first.answer;
    if (first.kind === "stored") return (await this.#stored(request, onAnswer)) ?? stopping();
    onAnswer(first.answer);
    return this.#follow(request, first.running, onAnswer);
  }

  #runLong(request: CommandRequest, started: Started): Running {
    const key = keyOf(request);
    const sinks = new Set<AnswerSink>();
    const report = (progress: Readonly<Record<string, unknown>>): void => {
      for (const sink of sinks) sink({ ok: true, progress });
    };
    const ended = (async () => {
      let effect: (tx: RecordTransaction) => Answer;
      try {
        const prepared = await started.run(report, this.#stop.signal);
        effect = (tx) => prepared.commit(tx);
      } catch (thrown) {
        const answer = this.#failed(request.name, thrown);
        effect = () => answer;
      }
      await this.#inTurn(async () => this.#finish(request, effect));
    })().finally(() => this.#longs.delete(key));
    const running = { sinks, ended };
    this.#longs.set(key, running);
    return running;
  }

  /** An effect that fails must not leave a command without an end. */
  #finish(request: CommandRequest, effect: (tx: RecordTransaction) => Answer): void {
    const { inbox, clock } = this.#deps;
    try {
      inbox.finishCommand(request.kid, request.id, clock.epochMs(), effect);
    } catch (thrown) {
      const answer = this.#failed(request.name, thrown);
      inbox.finishCommand(request.kid, request.id, clock.epochMs(), () => answer);
    }
  }

  async #follow(request: CommandRequest, running: Running, onAnswer: AnswerSink): Promise<Answer> {
    running.sinks.add(onAnswer);
    await running.ended;
    const final = this.#deps.inbox.answered(request.kid, request.id);
    return final ?? refusal("internal", "the command ended without an answer: see the log");
  }

  /** The stored answer of a known id. One that ends in progress and runs no more died with an earlier process. */
  async #stored(request: CommandRequest, onAnswer: AnswerSink): Promise<Answer | undefined> {
    const { inbox, clock } = this.#deps;
    const stored = inbox.answered(request.kid, request.id);
    if (stored === undefined || !isProgress(stored)) return stored;
    const running = this.#longs.get(keyOf(request));
    if (running === undefined)
      return inbox.finishCommand(request.kid, request.id, clock.epochMs(), () => interrupted());
    onAnswer(stored);
    return this.#follow(request, running, onAnswer);
  }

  /** One at a time, in order of arrival. */
  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    this.#waiting += 1;
    const result = this.#tail.then(run).finally(() => {
      this.#waiting -= 1;
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  async #withDeadline<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const timeoutMs = this.#deps.commands.options.prepareTimeoutMs;
    const over = new AbortController();
    const expired = new AbortController();
    using waiting = linked(over.signal, this.#stop.signal);
    using running = linked(expired.signal, this.#stop.signal);
    const late = this.#deps.clock.sleep(timeoutMs, waiting.signal).then(() => {
      expired.abort();
      if (this.#stop.signal.aborted)
        throw new Fault("stopping", "the daemon is stopping: send it again", { retry: "later" });
      throw new Fault(
        "timeout",
        `the command took longer than ${timeoutMs} ms and had no effect: send it again`,
        { retry: "later" },
      );
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([run(running.signal), late]);
    } finally {
      over.abort();
    }
  }

  #failed(command: string, thrown: unknown): Answer {
    if (thrown instanceof Fault) return refusal(thrown.code, thrown.message);
    this.#deps.log.error(
      { command, code: codeOf(thrown), problem: messageOf(thrown) },
      "a command failed in a way nobody foresaw",
    );
    return refusal("internal", "the command failed and had no effect: the device's log says why");
  }
}

const keyOf = (request: CommandRequest): string => `${request.kid} ${request.id}`;
const busy = (): Answer =>
  refusal("busy", "too many commands wait: send it again later, signed anew");
const stopping = (): Answer => refusal("stopping", "the daemon is stopping: send it again");
const interrupted = (): Answer =>
  refusal(
    "interrupted",
    "the device restarted before this command had ended: start it again under a new id",
  );
const replayed = (): Answer =>
  refusal(
    "replayed",
    "its number is not above the last one of this key and stream: number commands upwards, take a new stream after a restart",
  );
