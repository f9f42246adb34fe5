/**
 * What a door controller would hear: decisions from the broker, believed only when the verifying consumer
 * of `scripts/consumer` accepts them. Their latency comes from the event feed, which names the first
 * usable frame on the machine's monotonic clock.
 */
import { z } from "zod";
import type { Clock } from "../../src/lib/clock.ts";
import { Envelope } from "../../src/lib/envelope.ts";
import { KeyRing } from "../../src/mqtt/envelope.ts";
import { addressOf, type MqttOptions } from "../../src/mqtt/options.ts";
import { Session } from "../../src/mqtt/session.ts";
import { topicsOf } from "../../src/mqtt/topics.ts";
import { type Decision, DecisionVerifier } from "../consumer/verify.ts";

export interface HeardDecision extends Decision {
  /** When it arrived here, on the monotonic clock. */
  readonly arrivedMs: number;
  readonly scoreBand: string;
}

export interface FeedListener {
  readonly onDecision: (decision: HeardDecision) => void;
  /** From the first usable frame to the arrival here, ms. Follows its decision. */
  readonly onLatency: (decisionId: string, latencyMs: number) => void;
}

export interface FeedOptions {
  readonly mqtt: MqttOptions;
  /** Of the device, learnt from the device itself and not from the broker. */
  readonly publicKey: string;
}

/** The parts of an event that the demo reads. */
const DecisionEvent = z.object({
  type: z.literal("decision"),
  body: z.object({ id: z.string(), firstUsableAt: z.number().optional() }),
});
const Shown = z.object({ scoreBand: z.string() });

export class Feed implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #listener: FeedListener;
  readonly #verifier: DecisionVerifier;
  readonly #keys: KeyRing;
  readonly #arrived = new Map<string, number>();
  #session: Session | undefined;
  #verified = 0;
  #refused = 0;

  private constructor(options: FeedOptions, clock: Clock, listener: FeedListener) {
    this.#clock = clock;
    this.#listener = listener;
    // One machine, one clock: no skew to allow for.
    this.#verifier = new DecisionVerifier(
      { device: addressOf(options.mqtt), publicKey: options.publicKey, maxSkewMs: 0 },
      clock.epochMs(),
    );
    this.#keys = new KeyRing([options.publicKey]);
  }

  static async open(
    options: FeedOptions,
    clock: Clock,
    listener: FeedListener,
    signal: AbortSignal,
  ): Promise<Feed> {
    const feed = new Feed(options, clock, listener);
    const topics = topicsOf(addressOf(options.mqtt));
    const session = await Session.open(
      { mqtt: options.mqtt, clientId: "ostiary-demo-door", clean: true, sessionExpirySeconds: 0 },
      {
        clock,
        onMessage: (packet) => {
          const bytes = Buffer.from(packet.payload);
          if (packet.topic === topics.decision) feed.#decision(bytes, packet.retain);
          else feed.#event(bytes);
        },
      },
      signal,
    );
    await session.subscribe([topics.decision, topics.event], false);
    feed.#session = session;
    return feed;
  }

  get verified(): number {
    return this.#verified;
  }

  get refused(): number {
    return this.#refused;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session?.end();
  }

  #decision(bytes: Buffer, retained: boolean): void {
    const arrivedMs = this.#clock.monotonicMs();
    const verdict = this.#verifier.check(bytes, retained, this.#clock.epochMs());
    if (verdict.kind === "refused") {
      this.#refused += 1;
      return;
    }
    this.#verified += 1;
    this.#arrived.set(verdict.decision.id, arrivedMs);
    const shown = Shown.safeParse(payloadOf(bytes, this.#keys));
    this.#listener.onDecision({
      ...verdict.decision,
      arrivedMs,
      scoreBand: shown.success ? shown.data.scoreBand : "",
    });
  }

  #event(bytes: Buffer): void {
    const event = DecisionEvent.safeParse(payloadOf(bytes, this.#keys));
    if (!event.success) return;
    const { id, firstUsableAt } = event.data.body;
    const arrivedMs = this.#arrived.get(id);
    if (arrivedMs !== undefined && firstUsableAt !== undefined)
      this.#listener.onLatency(id, arrivedMs - firstUsableAt);
  }
}

/** The signed payload as JSON; undefined when the signature is not the device's. */
function payloadOf(bytes: Buffer, keys: KeyRing): unknown {
  try {
    const envelope = Envelope.parse(JSON.parse(bytes.toString("utf8")));
    return keys.verify(envelope) ? JSON.parse(envelope.payload) : undefined;
  } catch {
    return undefined;
  }
}
