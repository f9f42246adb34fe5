/** The fleet's broker: desired states out, reports in. Both are retained. */
import { randomBytes } from "node:crypto";
import { Fault } from "../../src/lib/fault.ts";
import type { MqttOptions } from "../../src/mqtt/options.ts";
import { Session } from "../../src/mqtt/session.ts";
import { topicsOf } from "../../src/mqtt/topics.ts";
import { createClock } from "../../src/system/clock.ts";

/** Topics in one subscription. */
const FILTERS_MAX = 100;

/** Newest message by topic, and who waits for one. */
interface Arrivals {
  readonly messages: Map<string, string>;
  wake: () => void;
}

export class FleetBroker implements AsyncDisposable {
  readonly #session: Session;
  readonly #arrivals: Arrivals;

  private constructor(session: Session, arrivals: Arrivals) {
    this.#session = session;
    this.#arrivals = arrivals;
  }

  /** @throws Fault `broker_unreachable`, `broker_not_trusted`, `broker_refused`, `credential_unreadable` */
  static async open(mqtt: MqttOptions, signal: AbortSignal): Promise<FleetBroker> {
    const arrivals: Arrivals = { messages: new Map(), wake: () => {} };
    const session = await Session.open(
      {
        mqtt,
        clientId: `ostiary-release-${randomBytes(6).toString("hex")}`,
        clean: true,
        sessionExpirySeconds: 0,
      },
      {
        clock: createClock(),
        onMessage: ({ topic, payload }) => {
          arrivals.messages.set(topic.toString(), payload.toString());
          arrivals.wake();
        },
      },
      signal,
    );
    return new FleetBroker(session, arrivals);
  }

  /**
   * Puts a desired state where the device finds it, or takes it away.
   *
   * @throws Fault `broker_refused`, `connection_lost`
   */
  async tell(address: string, envelope: string | undefined): Promise<void> {
    const topic = topicsOf(address).updateDesired;
    const outcome = await new Promise<{ kind: string; code?: number | string }>((resolve) =>
      this.#session.publish({ topic, text: envelope ?? "", retain: true }, resolve),
    );
    if (outcome.kind === "acked") return;
    if (outcome.kind === "refused")
      throw new Fault(
        "broker_refused",
        `the broker refused the desired state of ${address} (${outcome.code}): let this user write ${topic}`,
      );
    throw new Fault(
      "connection_lost",
      `the connection to the broker ended before ${address} was told: the same command tells it again`,
    );
  }

  /**
   * The retained reports of these devices, by address. Waits until all are there, else `silenceMs` after
   * the last one: a device that never reported has none.
   */
  async reports(
    addresses: readonly string[],
    silenceMs: number,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, string>> {
    const topicOf = new Map(
      addresses.map((address) => [topicsOf(address).retained("update/state"), address]),
    );
    const topics = [...topicOf.keys()];
    for (let i = 0; i < topics.length; i += FILTERS_MAX)
      await this.#session.subscribe(topics.slice(i, i + FILTERS_MAX), true);
    const clock = createClock();
    const { messages } = this.#arrivals;
    while (topics.some((topic) => !messages.has(topic))) {
      signal.throwIfAborted();
      const stop = new AbortController();
      const before = messages.size;
      const arrived = new Promise<void>((resolve) => {
        this.#arrivals.wake = resolve;
      });
      await Promise.race([arrived, clock.sleep(silenceMs, AbortSignal.any([signal, stop.signal]))]);
      stop.abort();
      if (messages.size === before) break;
    }
    return new Map(
      [...topicOf].flatMap(([topic, address]) => {
        const text = messages.get(topic);
        return text === undefined || text === "" ? [] : [[address, text] as const];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.end();
  }
}
