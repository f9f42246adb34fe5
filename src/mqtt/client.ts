/** Somebody who sends signed commands and waits for the answers: `ostiary send`, the demo, the tests. */
import type { IPublishPacket } from "mqtt";
import { z } from "zod";
import type { Clock } from "../lib/clock.ts";
import type { Answer, CommandPayload, Envelope } from "../lib/envelope.ts";
import { Fault } from "../lib/fault.ts";
import { type Signer, seal } from "./envelope.ts";
import { addressOf, type MqttOptions } from "./options.ts";
import { Session } from "./session.ts";
import { type Topics, topicsOf } from "./topics.ts";

const LIFE_S = 30;
const PENDING_ANSWERS_MAX = 256;

const AnswerMessage = z.union([
  z.object({ ok: z.literal(true), data: z.unknown().optional(), progress: z.unknown().optional() }),
  z.object({
    ok: z.literal(false),
    error: z.object({
      code: z.string(),
      message: z.string(),
      reasons: z.array(z.string()).optional(),
    }),
  }),
]);

export interface CommandClientDeps {
  readonly clock: Clock;
  /** 8 to 64 of A-Z a-z 0-9 _ -, never the same twice. */
  readonly newId: () => string;
  readonly signer: Signer;
}

export interface SendOptions {
  /** Longest silence before giving up; every answer starts it again. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** To ask again for the answer of an earlier command. */
  readonly id?: string;
}

interface Waiting {
  readonly answers: Answer[];
  wake: () => void;
}

/** True for the last answer of a command: progress is what comes before. */
export function isFinal(answer: Answer): boolean {
  return !answer.ok || answer.progress === undefined;
}

export class CommandClient implements AsyncDisposable {
  readonly #session: Session;
  readonly #deps: CommandClientDeps;
  readonly #topics: Topics;
  readonly #audience: string;
  /** Stream and reply address at once: both are this client's, from its start to its end. */
  readonly #stream: string;
  readonly #waiting: Map<string, Waiting>;
  #seq = 0;
  #closedCode: string | undefined;

  private constructor(
    options: MqttOptions,
    deps: CommandClientDeps,
    session: Session,
    stream: string,
    waiting: Map<string, Waiting>,
  ) {
    this.#session = session;
    this.#deps = deps;
    this.#audience = addressOf(options);
    this.#topics = topicsOf(this.#audience);
    this.#stream = stream;
    this.#waiting = waiting;
    void session.closed.then(({ code }) => {
      this.#closedCode = String(code);
      for (const one of waiting.values()) one.wake();
    });
  }

  /** @throws Fault `broker_unreachable`, `broker_not_trusted`, `broker_refused`, `credential_unreadable` */
  static async open(
    options: MqttOptions,
    deps: CommandClientDeps,
    signal: AbortSignal,
  ): Promise<CommandClient> {
    const stream = deps.newId();
    const waiting = new Map<string, Waiting>();
    const topic = topicsOf(addressOf(options)).response(deps.signer.kid, stream);
    const onMessage = (packet: IPublishPacket): void => {
      if (packet.topic.toString() === topic) deliver(packet, waiting);
    };
    const sessionOptions = {
      mqtt: options,
      clientId: `ostiary-send-${stream}`,
      clean: true,
      sessionExpirySeconds: 0,
    };
    const session = await Session.open(sessionOptions, { clock: deps.clock, onMessage }, signal);
    try {
      await session.subscribe([topic], true);
    } catch (thrown) {
      session.reset();
      throw thrown;
    }
    return new CommandClient(options, deps, session, stream, waiting);
  }

  /** The signed message that `send` would publish now; takes the next number. */
  sign(
    cmd: string,
    args: unknown,
    id = this.#deps.newId(),
  ): { readonly envelope: Envelope; readonly payload: CommandPayload } {
    const iat = Math.floor(this.#deps.clock.epochMs() / 1000);
    this.#seq += 1;
    const payload: CommandPayload = {
      schema: 1,
      id,
      cmd,
      args,
      aud: this.#audience,
      kid: this.#deps.signer.kid,
      stream: this.#stream,
      seq: this.#seq,
      iat,
      exp: iat + LIFE_S,
      replyTo: this.#stream,
      correlation: this.#deps.newId(),
    };
    return { envelope: seal(JSON.stringify(payload), this.#deps.signer), payload };
  }

  /**
   * Sends one command and yields its answers up to the final one.
   *
   * @throws Fault `no_answer` after `timeoutMs` of silence, `not_sent` when the broker refuses it,
   *   `connection_lost`; what the device decided is then unknown: ask again with the same id
   */
  async *send(cmd: string, args: unknown, options: SendOptions): AsyncGenerator<Answer> {
    const { envelope, payload } = this.sign(cmd, args, options.id);
    const one: Waiting = { answers: [], wake: () => {} };
    this.#waiting.set(payload.correlation, one);
    try {
      await this.#publish(cmd, envelope, payload);
      for (;;) {
        const answer = one.answers.shift() ?? (await this.#next(one, payload.id, options));
        yield answer;
        if (isFinal(answer)) return;
      }
    } finally {
      this.#waiting.delete(payload.correlation);
    }
  }

  /** The final answer of one command. @throws as {@link send} */
  async ask(cmd: string, args: unknown, options: SendOptions): Promise<Answer> {
    for await (const answer of this.send(cmd, args, options)) {
      if (isFinal(answer)) return answer;
    }
    throw new Fault("no_answer", `the device ended the answers to ${cmd} without a final one`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.end();
  }

  async #publish(cmd: string, envelope: Envelope, payload: CommandPayload): Promise<void> {
    const publication = {
      topic: this.#topics.command(cmd),
      text: JSON.stringify(envelope),
      expirySeconds: LIFE_S,
      correlation: payload.correlation,
      responseTopic: this.#topics.response(payload.kid, payload.replyTo),
    };
    const outcome = await new Promise<{ kind: string; code?: number | string }>((resolve) =>
      this.#session.publish(publication, resolve),
    );
    if (outcome.kind === "refused") {
      throw new Fault(
        "not_sent",
        `the broker refused the command (${outcome.code}): check this user's rights`,
      );
    }
    if (outcome.kind === "lost") throw this.#lost(payload.id);
  }

  async #next(one: Waiting, id: string, options: SendOptions): Promise<Answer> {
    const stop = new AbortController();
    const signals = options.signal === undefined ? [stop.signal] : [stop.signal, options.signal];
    const arrived = new Promise<void>((resolve) => {
      one.wake = resolve;
      if (one.answers.length > 0 || this.#closedCode !== undefined) resolve();
    });
    await Promise.race([
      arrived,
      this.#deps.clock.sleep(options.timeoutMs, AbortSignal.any(signals)),
    ]);
    stop.abort();
    const answer = one.answers.shift();
    if (answer !== undefined) return answer;
    if (this.#closedCode !== undefined) throw this.#lost(id);
    options.signal?.throwIfAborted();
    throw new Fault(
      "no_answer",
      `no answer within ${options.timeoutMs} ms: is the device online? Ask again with id ${id}`,
      { retry: "later" },
    );
  }

  #lost(id: string): Fault {
    return new Fault(
      "connection_lost",
      `the broker connection ended (${this.#closedCode ?? "closed"}): ask again with id ${id}`,
      { retry: "later" },
    );
  }
}

function deliver(packet: IPublishPacket, waiting: ReadonlyMap<string, Waiting>): void {
  const one = waiting.get(packet.properties?.correlationData?.toString("utf8") ?? "");
  if (one === undefined || packet.retain === true || one.answers.length >= PENDING_ANSWERS_MAX)
    return;
  const answer = parseAnswer(packet.payload.toString());
  if (answer === undefined) return;
  one.answers.push(answer);
  one.wake();
}

function parseAnswer(text: string): Answer | undefined {
  try {
    const parsed = AnswerMessage.safeParse(JSON.parse(text));
    return parsed.success ? (parsed.data as Answer) : undefined;
  } catch {
    return undefined;
  }
}
