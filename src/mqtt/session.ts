/**
 * One connection to the broker, from CONNECT to close. A new one is made for every connection, so nothing
 * that mqtt.js remembers (its stores, its offline queues) can be sent again later by itself.
 */
import {
  type IClientOptions,
  type IClientSubscribeProperties,
  type IConnackPacket,
  type IPublishPacket,
  MqttClient,
} from "mqtt";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import { type Dialled, dial, endpointOf, readPassword, timeLimit } from "./dial.ts";
import type { MqttOptions } from "./options.ts";

/** Most unacknowledged messages of ours; the broker may allow fewer. */
const WINDOW_MAX = 20;
/** Most unacknowledged messages that the broker may send us. */
const RECEIVE_MAX = 16;
const CONNECT_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 1000;
/** Room for topic, properties and a payload slightly too long, so that `too_large` can be answered. */
const PACKET_SLACK_BYTES = 64 * 1024;

export const SESSION_TAKEN_OVER = 142;

export interface SessionOptions {
  readonly mqtt: MqttOptions;
  readonly clientId: string;
  /** Start without what the broker kept for this client. */
  readonly clean: boolean;
  readonly sessionExpirySeconds: number;
  readonly will?: { readonly topic: string; readonly text: string; readonly delaySeconds: number };
}

export interface Publication {
  readonly topic: string;
  readonly text: string;
  readonly retain?: boolean;
  readonly expirySeconds?: number;
  readonly correlation?: string;
  readonly responseTopic?: string;
}

export type PublishOutcome =
  | { readonly kind: "acked" }
  /** The broker said no; MQTT 5 reason code. */
  | { readonly kind: "refused"; readonly code: number | string }
  /** The connection ended first: whether it arrived is not known. */
  | { readonly kind: "lost" };

export interface SessionDeps {
  readonly clock: Clock;
  /** Takes the message over; it is acknowledged to the broker when this returns. Must not throw. */
  readonly onMessage: (packet: IPublishPacket) => void;
}

export interface Closed {
  /** MQTT 5 reason code, Node's error code, or `closed`. */
  readonly code: number | string;
}

export class Session {
  readonly window: number;
  readonly maximumPacketBytes: number;
  /** Resolves once, when the connection is gone. */
  readonly closed: Promise<Closed>;
  readonly #client: MqttClient;
  readonly #dialled: Dialled;
  readonly #clock: Clock;
  readonly #inFlight = new Set<(outcome: PublishOutcome) => void>();
  #isOpen = true;

  private constructor(
    client: MqttClient,
    dialled: Dialled,
    connack: IConnackPacket,
    closed: Promise<Closed>,
    clock: Clock,
  ) {
    this.#client = client;
    this.#dialled = dialled;
    this.#clock = clock;
    this.window = Math.max(
      1,
      Math.min(WINDOW_MAX, connack.properties?.receiveMaximum ?? WINDOW_MAX),
    );
    this.maximumPacketBytes = connack.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
    this.closed = closed.then((reason) => {
      this.#isOpen = false;
      for (const done of [...this.#inFlight]) done({ kind: "lost" });
      return reason;
    });
  }

  /** @throws Fault `broker_unreachable`, `broker_not_trusted`, `broker_refused`, `credential_unreadable` */
  static async open(
    options: SessionOptions,
    deps: SessionDeps,
    signal: AbortSignal,
  ): Promise<Session> {
    const password = await readPassword(options.mqtt);
    const dialled = await dial(options.mqtt, deps.clock, signal);
    const client = new MqttClient(
      () => dialled.stream as ReturnType<MqttClient["streamBuilder"]>,
      clientOptions(options, password),
    );
    client.handleMessage = (packet, callback) => {
      deps.onMessage(packet);
      callback();
    };
    const closed = closeOf(client);
    const connack = await connackOf(client, closed, deps.clock, signal).catch((thrown: unknown) => {
      client.end(true);
      dialled.reset();
      const { host, port } = endpointOf(options.mqtt.url);
      throw new Fault(
        "broker_refused",
        `the broker at ${host}:${port} refused the connection (${codeText(thrown)}): check user, password and rights`,
        { retry: "later" },
      );
    });
    return new Session(client, dialled, connack, closed, deps.clock);
  }

  get isOpen(): boolean {
    return this.#isOpen && this.#client.connected;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** QoS 1. `done` is called exactly once. */
  publish(publication: Publication, done: (outcome: PublishOutcome) => void): void {
    if (!this.isOpen) {
      done({ kind: "lost" });
      return;
    }
    const settle = (outcome: PublishOutcome): void => {
      if (this.#inFlight.delete(settle)) done(outcome);
    };
    this.#inFlight.add(settle);
    const { topic, text, retain = false } = publication;
    this.#client.publish(
      topic,
      Buffer.from(text, "utf8"),
      { qos: 1, retain, properties: propertiesOf(publication) },
      (error) => {
        if (error === undefined || error === null) return settle({ kind: "acked" });
        settle(this.isOpen ? { kind: "refused", code: codeText(error) } : { kind: "lost" });
      },
    );
  }

  /** QoS 0: may be lost without notice. */
  publishLoosely(topic: string, text: string): void {
    if (this.isOpen) this.#client.publish(topic, Buffer.from(text, "utf8"), { qos: 0 });
  }

  /** QoS 1, Retain As Published; with `retained: false` nothing older than the subscription is sent. */
  async subscribe(filters: readonly string[], retained: boolean): Promise<void> {
    const how = {
      qos: 1,
      rap: true,
      rh: retained ? 0 : 2,
    } as const satisfies IClientSubscribeProperties & { qos: 1; rap: boolean; rh: number };
    try {
      await this.#client.subscribeAsync([...filters], how);
    } catch (thrown) {
      throw new Fault(
        "broker_refused",
        `the broker refused a subscription (${codeText(thrown)}): allow this device its own topics`,
        { retry: "later" },
      );
    }
  }

  /** Says goodbye, so that the will is not sent; gives up after a second. */
  async end(): Promise<void> {
    using limit = timeLimit(this.#clock, END_TIMEOUT_MS, new AbortController().signal);
    const ended = this.#client.endAsync(false).catch(() => {});
    await Promise.race([ended, aborted(limit.signal)]);
    this.reset();
  }

  /** Drops the connection together with every byte that has not left this machine. */
  reset(): void {
    this.#isOpen = false;
    this.#dialled.reset();
    this.#client.end(true);
  }
}

function clientOptions(options: SessionOptions, password: Buffer | undefined): IClientOptions {
  const { mqtt, will } = options;
  return {
    protocolVersion: 5,
    clientId: options.clientId,
    clean: options.clean,
    keepalive: mqtt.keepaliveSeconds,
    // Traffic of ours is no sign of life of the broker: pings go out regardless.
    reschedulePings: false,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    timerVariant: "native",
    // The library's debug log prints payloads.
    log: () => {},
    ...(mqtt.username === undefined ? {} : { username: mqtt.username }),
    ...(password === undefined ? {} : { password }),
    properties: {
      sessionExpiryInterval: options.sessionExpirySeconds,
      receiveMaximum: RECEIVE_MAX,
      maximumPacketSize: mqtt.maxPacketBytes + PACKET_SLACK_BYTES,
    },
    ...(will === undefined
      ? {}
      : {
          will: {
            topic: will.topic,
            payload: Buffer.from(will.text, "utf8"),
            qos: 1,
            retain: true,
            properties: { willDelayInterval: will.delaySeconds },
          },
        }),
  };
}

function propertiesOf(publication: Publication): NonNullable<IPublishPacket["properties"]> {
  const { expirySeconds, correlation, responseTopic } = publication;
  return {
    payloadFormatIndicator: true,
    ...(expirySeconds === undefined ? {} : { messageExpiryInterval: expirySeconds }),
    ...(correlation === undefined ? {} : { correlationData: Buffer.from(correlation, "utf8") }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
  };
}

function closeOf(client: MqttClient): Promise<Closed> {
  let code: number | string = "closed";
  client.on("error", (error) => {
    code = codeText(error);
    // Whatever the library makes of it: a connection that had an error is not used any more.
    client.end(true);
  });
  client.on("disconnect", (packet) => {
    code = packet.reasonCode ?? code;
  });
  return new Promise((resolve) => {
    client.once("close", () => resolve({ code }));
  });
}

async function connackOf(
  client: MqttClient,
  closed: Promise<Closed>,
  clock: Clock,
  signal: AbortSignal,
): Promise<IConnackPacket> {
  using limit = timeLimit(clock, CONNECT_TIMEOUT_MS, signal);
  const connack = new Promise<IConnackPacket>((resolve) => client.once("connect", resolve));
  const failed = Promise.race([closed, aborted(limit.signal).then(() => ({ code: "ETIMEDOUT" }))]);
  const first = await Promise.race([connack, failed]);
  if ("cmd" in first) return first;
  throw new Fault("no_connack", "no CONNACK", { cause: { code: first.code } });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The code of an error of mqtt.js or Node: numbers are MQTT reason codes. */
function codeText(thrown: unknown): number | string {
  if (
    thrown instanceof Fault &&
    typeof thrown.cause === "object" &&
    thrown.cause !== null &&
    "code" in thrown.cause
  ) {
    return codeText(thrown.cause);
  }
  if (
    typeof thrown === "object" &&
    thrown !== null &&
    "code" in thrown &&
    typeof thrown.code === "number"
  )
    return thrown.code;
  return codeOf(thrown);
}
