/** Pulls what the device has to say into the connection's window: presence, decisions, answers, states, events. */
import type { Clock } from "../lib/clock.ts";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { linked } from "../lib/signals.ts";
import type { AnswerQueue, OutgoingAnswer } from "./answer-queue.ts";
import type { DecisionQueue, PendingDecision } from "./decision-queue.ts";
import { type Signer, seal } from "./envelope.ts";
import type { EventPump, OutgoingEvent } from "./event-pump.ts";
import { decisionPayload, eventPayload } from "./payloads.ts";
import type { RetainedStates } from "./retained-states.ts";
import type { Publication, PublishOutcome, Session } from "./session.ts";
import type { Topics } from "./topics.ts";

/** Slots of the window that events never take: a decision does not wait behind history. */
const RESERVED = 4;
/** After the broker refused an event (rights, quota), or the outbox failed. */
const EVENT_PAUSE_MS = 5000;
const ANSWER_EXPIRY_S = 60;

export interface OutgoingDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly signer: Signer;
  readonly retained: RetainedStates;
  readonly decisions: DecisionQueue;
  readonly answers: AnswerQueue;
  readonly events: EventPump;
}

export class Outgoing {
  readonly #device: string;
  readonly #topics: Topics;
  readonly #deps: OutgoingDeps;
  #session: Session | undefined;
  /** Ends with the session: cancels what waits for it. */
  #attached = new AbortController();
  #presence = "";
  #presenceDue = false;
  #wakePlanned = false;
  #eventsPaused = false;

  constructor(options: { readonly device: string; readonly topics: Topics }, deps: OutgoingDeps) {
    this.#device = options.device;
    this.#topics = options.topics;
    this.#deps = deps;
  }

  attach(session: Session, presence: string): void {
    this.#session = session;
    this.#attached = new AbortController();
    this.#presence = presence;
    this.#presenceDue = true;
    this.#eventsPaused = false;
    this.#deps.events.connectionLost();
    this.pump();
  }

  detach(): void {
    this.#session = undefined;
    this.#attached.abort();
    this.#deps.events.connectionLost();
  }

  sayPresence(): void {
    this.#presenceDue = true;
    this.pump();
  }

  appended(): void {
    this.#deps.events.appended();
    this.wake();
  }

  /** Pumps once the caller is done: many calls in a row cost one. */
  wake(): void {
    if (this.#wakePlanned) return;
    this.#wakePlanned = true;
    queueMicrotask(() => {
      this.#wakePlanned = false;
      this.pump();
    });
  }

  pump(): void {
    const session = this.#session;
    while (session?.isOpen === true && session.inFlight < session.window) {
      if (!this.#sendNext(session)) return;
    }
  }

  /** @returns false when nothing waits that may be sent now */
  #sendNext(session: Session): boolean {
    if (this.#presenceDue) {
      this.#presenceDue = false;
      this.#send(
        session,
        { topic: this.#topics.state, text: this.#presence, retain: true },
        "state",
        () => {},
      );
      return true;
    }
    return (
      this.#sendDecision(session) ||
      this.#sendAnswer(session) ||
      this.#sendState(session) ||
      this.#sendEvent(session)
    );
  }

  #sendDecision(session: Session): boolean {
    const taken = this.#deps.decisions.take();
    if (taken === undefined) return false;
    const { pending, leftSeconds } = taken;
    const text = JSON.stringify(
      seal(decisionPayload(pending.decision, this.#device), this.#deps.signer),
    );
    const settled = new AbortController();
    this.#send(
      session,
      { topic: this.#topics.decision, text, expirySeconds: leftSeconds },
      "decision",
      (outcome) => {
        settled.abort();
        if (outcome.kind === "acked") pending.onAcked();
        else if (outcome.kind === "lost") this.#deps.decisions.putBack(pending);
      },
    );
    void this.#abandonAtExpiry(session, pending, settled.signal);
    return true;
  }

  /**
   * A sent decision may lie in this machine's socket, on a dead line, and come out when the line is back.
   * When it expires without an acknowledgement the connection is reset, and with it those bytes.
   */
  async #abandonAtExpiry(
    session: Session,
    pending: PendingDecision,
    settled: AbortSignal,
  ): Promise<void> {
    const { clock, decisions, log } = this.#deps;
    using either = linked(settled, this.#attached.signal);
    await clock.sleep(decisions.leftMs(pending), either.signal);
    if (settled.aborted || this.#session !== session) return;
    log.warn({}, "the broker did not acknowledge a decision before it expired: connection reset");
    session.reset();
  }

  #sendAnswer(session: Session): boolean {
    const answer = this.#deps.answers.take();
    if (answer === undefined) return false;
    const { target, text } = answer;
    const publication = {
      topic: this.#topics.response(target.kid, target.replyTo),
      text,
      expirySeconds: ANSWER_EXPIRY_S,
      ...(target.correlation === "" ? {} : { correlation: target.correlation }),
    };
    this.#send(session, publication, "response", (outcome) => this.#answered(answer, outcome));
    return true;
  }

  #answered(answer: OutgoingAnswer, outcome: PublishOutcome): void {
    if (outcome.kind === "lost") this.#deps.answers.putBack(answer);
  }

  #sendState(session: Session): boolean {
    const state = this.#deps.retained.take();
    if (state === undefined) return false;
    this.#send(session, { ...state, retain: true }, "state", () => {});
    return true;
  }

  #sendEvent(session: Session): boolean {
    if (this.#eventsPaused || session.inFlight >= Math.max(1, session.window - RESERVED))
      return false;
    let outgoing: OutgoingEvent | undefined;
    try {
      outgoing = this.#deps.events.take();
    } catch (thrown) {
      this.#pauseEvents(`outbox ${codeOf(thrown)}`);
    }
    if (outgoing === undefined) return false;
    const sent = outgoing;
    const text = JSON.stringify(
      seal(eventPayload(sent.event, this.#device, sent.replayed), this.#deps.signer),
    );
    this.#send(session, { topic: this.#topics.event, text }, "event", (outcome) =>
      this.#eventSettled(session, sent, outcome),
    );
    return true;
  }

  #eventSettled(session: Session, sent: OutgoingEvent, outcome: PublishOutcome): void {
    // After the connection is gone everything in flight is offered again: a late word about it means nothing.
    if (outcome.kind === "lost" || this.#session !== session) return;
    try {
      this.#deps.events.settle(sent, outcome.kind);
    } catch (thrown) {
      this.#pauseEvents(`outbox ${codeOf(thrown)}`);
    }
    if (outcome.kind === "refused") this.#pauseEvents(String(outcome.code));
  }

  #pauseEvents(code: string): void {
    if (this.#eventsPaused) return;
    this.#eventsPaused = true;
    this.#deps.log.warn({ code, waitMs: EVENT_PAUSE_MS }, "the event feed pauses");
    const { signal } = this.#attached;
    void this.#deps.clock.sleep(EVENT_PAUSE_MS, signal).then(() => {
      if (signal.aborted) return;
      this.#eventsPaused = false;
      this.#deps.events.appended();
      this.pump();
    });
  }

  #send(
    session: Session,
    publication: Publication,
    what: string,
    done: (outcome: PublishOutcome) => void,
  ): void {
    if (Buffer.byteLength(publication.text) + 1024 > session.maximumPacketBytes) {
      this.#deps.log.error(
        { what, maximumBytes: session.maximumPacketBytes },
        "larger than the broker takes: raise its max_packet_size",
      );
      done({ kind: "refused", code: "too_large_for_broker" });
      return;
    }
    session.publish(publication, (outcome) => {
      if (outcome.kind === "refused")
        this.#deps.log.warn(
          { what, code: String(outcome.code) },
          "the broker refused a message: check this device's rights",
        );
      done(outcome);
      this.wake();
    });
  }
}
