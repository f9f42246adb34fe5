/**
 * This device on its broker. An absent broker is a state, never a failure: states are kept and sent again,
 * events stay in the outbox, decisions expire. What the device has to say is pulled, most urgent first,
 * into a small window of unacknowledged messages.
 */
import type { IPublishPacket } from "mqtt";
import type { Decision } from "../decision/decision.ts";
import { backoffMs } from "../lib/backoff.ts";
import type { EpochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { Answer } from "../lib/envelope.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { AnswerQueue } from "./answer-queue.ts";
import type { IncomingCommand, ReplyTarget } from "./command.ts";
import { CommandQueue } from "./command-queue.ts";
import { DecisionQueue } from "./decision-queue.ts";
import { endpointOf } from "./dial.ts";
import { type Signer, seal } from "./envelope.ts";
import { EventPump, type ReplayStart } from "./event-pump.ts";
import { addressOf, isPlaintextAbroad, type MqttOptions } from "./options.ts";
import type { EventOutbox } from "./outbox-port.ts";
import { Outgoing } from "./outgoing.ts";
import { presencePayload } from "./payloads.ts";
import { receive } from "./receive.ts";
import { RetainedStates } from "./retained-states.ts";
import { SESSION_TAKEN_OVER, Session, type SessionOptions } from "./session.ts";
import { StateWatch } from "./state-watch.ts";
import { isReplyAddress, type RetainedTopic, type Topics, topicsOf } from "./topics.ts";

const COMMANDS_MAX = 32;
const COMMAND_BYTES_MAX = 16 * 1024 * 1024;
const ANSWERS_MAX = 64;
const DECISIONS_MAX = 64;
/** A connection that lived this long was a good one: the next wait starts small again. */
const STABLE_MS = 5000;

export interface MqttLinkDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Unique per start of the daemon. */
  readonly bootId: string;
  /** The device key: signs decisions and events. */
  readonly signer: Signer;
  readonly outbox: EventOutbox;
  /** Called with every `update/desired`, as it came; without it the topic is not subscribed. Must not throw. */
  readonly onDesired?: ((text: string) => void) | undefined;
}

export interface Connection {
  readonly connected: boolean;
  /** When `connected` last changed. */
  readonly since: EpochMs;
  /** Connections made after the first one. */
  readonly reconnects: number;
  /** Why there is none: a Fault code, MQTT reason code or Node error code. */
  readonly code?: string;
}

export interface LinkCounters {
  readonly decisionsExpired: number;
  readonly decisionsOverflowed: number;
  readonly answersDropped: number;
  readonly commandsBusy: number;
  readonly messagesIgnored: number;
  readonly stateCorrections: number;
}

interface Ended {
  readonly code: string;
  readonly livedMs: number;
  readonly takenOver: boolean;
}

export class MqttLink implements AsyncDisposable {
  readonly #options: MqttOptions;
  readonly #deps: MqttLinkDeps;
  readonly #topics: Topics;
  readonly #retained = new RetainedStates();
  readonly #decisions: DecisionQueue;
  readonly #answers: AnswerQueue;
  readonly #events: EventPump;
  readonly #incoming = new CommandQueue(COMMANDS_MAX, COMMAND_BYTES_MAX);
  readonly #outgoing: Outgoing;
  readonly #stateWatch: StateWatch;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #session: Session | undefined;
  #connection: Connection;
  #commandsBusy = 0;
  #messagesIgnored = 0;

  constructor(options: MqttOptions, deps: MqttLinkDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#topics = topicsOf(addressOf(options));
    this.#decisions = new DecisionQueue(DECISIONS_MAX, deps.clock);
    this.#answers = new AnswerQueue(ANSWERS_MAX, options.maxPacketBytes, deps.clock);
    this.#events = new EventPump(deps.outbox);
    this.#outgoing = new Outgoing(
      { device: addressOf(options), topics: this.#topics },
      {
        ...deps,
        retained: this.#retained,
        decisions: this.#decisions,
        answers: this.#answers,
        events: this.#events,
      },
    );
    this.#stateWatch = new StateWatch(deps, () => this.#outgoing.sayPresence());
    this.#connection = { connected: false, since: deps.clock.epochMs(), reconnects: -1 };
  }

  get connection(): Connection {
    return { ...this.#connection, reconnects: Math.max(0, this.#connection.reconnects) };
  }

  get counters(): LinkCounters {
    return {
      decisionsExpired: this.#decisions.expired,
      decisionsOverflowed: this.#decisions.overflowed,
      answersDropped: this.#answers.dropped,
      commandsBusy: this.#commandsBusy,
      messagesIgnored: this.#messagesIgnored,
      stateCorrections: this.#stateWatch.corrections,
    };
  }

  /** Commands as they came: check them with `checkCommand`. One reader; ends when the link is disposed. */
  get commands(): AsyncIterable<IncomingCommand> {
    return this.#incoming;
  }

  /** Connects, stays connected, says goodbye when `signal` aborts. Never rejects for the broker's sake. */
  run(signal: AbortSignal): Promise<void> {
    if (this.#running !== undefined)
      throw new Fault("already_running", "the MQTT link runs already: run it once");
    this.#running = this.#run(AbortSignal.any([signal, this.#stop.signal]));
    return this.#running;
  }

  /** Keeps `value` on the broker under `topic`, from now on and after every reconnect. */
  setRetained(topic: RetainedTopic, value: Readonly<Record<string, unknown>>): void {
    if (this.#retained.set(this.#topics.retained(topic), { schema: 1, ...value }))
      this.#outgoing.wake();
  }

  /** The same, signed by the device key. @param payload JSON text */
  setRetainedSigned(topic: RetainedTopic, payload: string): void {
    const envelope = seal(payload, this.#deps.signer);
    if (this.#retained.set(this.#topics.retained(topic), envelope)) this.#outgoing.wake();
  }

  /** Best effort, QoS 0: dropped while offline. */
  publishHealth(value: Readonly<Record<string, unknown>>): void {
    this.#session?.publishLoosely(this.#topics.health, JSON.stringify({ schema: 1, ...value }));
  }

  /**
   * The live feed. Sent at once or, while the broker is away, as soon as it is back, but never at or after
   * `expiresAt`. `onAcked` is called when the broker has it (then the cool-down starts), else never.
   */
  publishDecision(decision: Decision, onAcked: () => void): void {
    this.#decisions.put(decision, onAcked);
    this.#outgoing.pump();
  }

  /** Publishes kept events again, marked `replayed`, after everything else. */
  replayEvents(fromSeq: number, limit: number): ReplayStart {
    const start = this.#events.startReplay(fromSeq, limit);
    this.#outgoing.wake();
    return start;
  }

  /** Answers under `response/` only. Kept for a minute while offline. */
  answer(target: ReplyTarget, answer: Answer): void {
    if (!isReplyAddress(target))
      throw new Fault("bad_reply_address", "an answer goes to response/<kid>/<replyTo> only");
    this.#answers.put(target, answer);
    this.#outgoing.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#incoming.close();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, log, random, outbox } = this.#deps;
    const endpoint = endpointOf(this.#options.url);
    if (isPlaintextAbroad(this.#options.url))
      log.warn(
        { host: endpoint.host },
        "mqtt.insecurePlaintext: decisions and commands travel unprotected",
      );
    const stopListening = outbox.onAppended(() => this.#outgoing.appended());
    try {
      for (let attempt = 0; !signal.aborted; attempt += 1) {
        const ended = await this.#runOnce(signal);
        if (signal.aborted) return;
        if (ended.livedMs >= STABLE_MS) attempt = 0;
        const waitMs = ended.takenOver
          ? this.#options.reconnect.maxMs
          : backoffMs(attempt, random(), this.#options.reconnect);
        log.debug(
          { ...endpoint, code: ended.code, attempt, waitMs: Math.round(waitMs) },
          "the broker is tried again",
        );
        await clock.sleep(waitMs, signal);
      }
    } finally {
      stopListening();
    }
  }

  /** One connection, from dialling to its end. */
  async #runOnce(signal: AbortSignal): Promise<Ended> {
    const { clock } = this.#deps;
    const openedAtMs = clock.monotonicMs();
    let session: Session | undefined;
    try {
      session = await this.#open(signal);
      const closed = await Promise.race([session.closed, whenAborted(signal)]);
      if (closed === "aborted") await this.#sayGoodbye(session);
      const code = closed === "aborted" ? "stopped" : String(closed.code);
      if (code === String(SESSION_TAKEN_OVER))
        this.#deps.log.error(
          {},
          "another client uses this device's client id: make site and device unique",
        );
      return this.#ended(code, openedAtMs);
    } catch (thrown) {
      if (!(thrown instanceof Fault))
        this.#deps.log.error(
          { code: codeOf(thrown) },
          "the broker connection failed in an unforeseen way",
        );
      return this.#ended(
        codeOf(thrown),
        openedAtMs,
        thrown instanceof Fault ? messageOf(thrown) : undefined,
      );
    } finally {
      this.#session = undefined;
      this.#stateWatch.expect(undefined);
      this.#outgoing.detach();
      session?.reset();
    }
  }

  async #open(signal: AbortSignal): Promise<Session> {
    const { clock, log, bootId } = this.#deps;
    const onMessage = (packet: IPublishPacket): void => this.#receive(packet);
    const session = await Session.open(this.#sessionOptions(), { clock, onMessage }, signal);
    try {
      // Subscribed before anybody is told that we are online.
      await session.subscribe([this.#topics.commands, this.#topics.state], false);
      // Retained: who was away hears it at every connection, and judges it by its number.
      if (this.#deps.onDesired !== undefined)
        await session.subscribe([this.#topics.updateDesired], true);
    } catch (thrown) {
      session.reset();
      throw thrown;
    }
    const since = clock.epochMs();
    this.#session = session;
    this.#connection = { connected: true, since, reconnects: this.#connection.reconnects + 1 };
    const presence = presencePayload({ state: "online", bootId, since });
    this.#retained.markAllDirty();
    log.info(
      { ...endpointOf(this.#options.url), reconnects: this.#connection.reconnects },
      "broker connected",
    );
    this.#stateWatch.expect(presence);
    this.#outgoing.attach(session, presence);
    return session;
  }

  #sessionOptions(): SessionOptions {
    const {
      site,
      device,
      clientId = `ostiary-${site}-${device}`,
      sessionExpirySeconds,
      willDelaySeconds,
    } = this.#options;
    return {
      mqtt: this.#options,
      clientId,
      clean: false,
      // The will is sent when the session ends, if that is before its delay.
      sessionExpirySeconds: Math.max(sessionExpirySeconds, willDelaySeconds),
      will: {
        topic: this.#topics.state,
        text: presencePayload({ state: "offline", bootId: this.#deps.bootId }),
        delaySeconds: willDelaySeconds,
      },
    };
  }

  #ended(code: string, openedAtMs: number, message?: string): Ended {
    const { clock, log } = this.#deps;
    const before = this.#connection;
    if (before.connected || before.code !== code) {
      this.#connection = {
        connected: false,
        since: before.connected ? clock.epochMs() : before.since,
        reconnects: before.reconnects,
        code,
      };
      if (code !== "stopped")
        log.warn({ ...endpointOf(this.#options.url), code }, message ?? "broker connection lost");
    }
    const livedMs = before.connected ? clock.monotonicMs() - openedAtMs : 0;
    return { code, livedMs, takenOver: code === String(SESSION_TAKEN_OVER) };
  }

  async #sayGoodbye(session: Session): Promise<void> {
    this.#stateWatch.expect(undefined);
    this.#outgoing.detach();
    const text = presencePayload({ state: "offline", bootId: this.#deps.bootId });
    const acked = new Promise<void>((resolve) => {
      session.publish({ topic: this.#topics.state, text, retain: true }, () => resolve());
    });
    await Promise.race([acked, this.#deps.clock.sleep(1000)]);
    await session.end();
  }

  #receive(packet: IPublishPacket): void {
    const received = receive(packet, this.#topics, this.#deps.clock.epochMs());
    if (received.kind === "command") this.#takeOver(received.command);
    else if (received.kind === "state") this.#stateWatch.heard(received.text);
    else if (received.kind === "desired") this.#deps.onDesired?.(received.text);
    else this.#messagesIgnored += 1;
  }

  #takeOver(command: IncomingCommand): void {
    if (this.#incoming.put(command)) return;
    this.#commandsBusy += 1;
    if (command.reply.kind !== "ours") return;
    const target = { ...command.reply.address, correlation: command.correlation ?? "" };
    this.answer(target, {
      ok: false,
      error: { code: "busy", message: "too many commands wait: try again in a few seconds" },
    });
  }
}

function whenAborted(signal: AbortSignal): Promise<"aborted"> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve("aborted");
    signal.addEventListener("abort", () => resolve("aborted"), { once: true });
  });
}
