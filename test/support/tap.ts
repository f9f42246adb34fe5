/** Hears everything on a broker, as bytes, in order of arrival; connects again by itself. */
import { connect, type IPublishPacket, type MqttClient } from "mqtt";
import { within } from "./waiting.ts";

export interface Heard {
  readonly topic: string;
  readonly text: string;
  /** As the publisher set it. */
  readonly retain: boolean;
  /** MQTT 5 correlation data. */
  readonly correlation?: string;
  /** On the machine's monotonic clock, ms. */
  readonly at: number;
}

/** A look that began in time may end so much later. */
const LOOK_MS = 5000;

export const monotonicNow = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Looks again and again. @throws with `what`, and what `explain` says, when the time is over */
export async function until<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  timeoutMs: number,
  explain: () => string = () => "",
  everyMs = 20,
): Promise<T> {
  const deadline = monotonicNow() + timeoutMs;
  for (;;) {
    // A look that asks somebody may itself wait for ever.
    const left = Math.max(0, deadline - monotonicNow());
    const found = await within(Promise.resolve(look()), what, left + LOOK_MS, explain);
    if (found !== undefined && found !== false) return found;
    if (monotonicNow() > deadline)
      throw new Error(`not within ${timeoutMs} ms: ${what}\n${explain()}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

export class Tap implements AsyncDisposable {
  readonly heard: Heard[] = [];
  readonly #client: MqttClient;

  private constructor(client: MqttClient) {
    this.#client = client;
    client.on("message", (topic, payload, packet: IPublishPacket) => {
      const correlation = packet.properties?.correlationData?.toString("utf8");
      this.heard.push({
        topic,
        text: payload.toString("utf8"),
        retain: packet.retain === true,
        at: monotonicNow(),
        ...(correlation === undefined ? {} : { correlation }),
      });
    });
    client.on("error", () => undefined);
  }

  static async open(url: string): Promise<Tap> {
    const client = connect(url, {
      protocolVersion: 5,
      clean: true,
      reconnectPeriod: 30,
      connectTimeout: 2000,
    });
    const tap = new Tap(client);
    client.on("connect", () => client.subscribe("#", { qos: 1, rap: true, rh: 0 }));
    await until(() => client.connected, "the tap connects", 10_000);
    return tap;
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  /** Puts anything on the broker, as any client may. */
  publish(
    topic: string,
    text: string | Buffer,
    options: Parameters<MqttClient["publishAsync"]>[2] = {},
  ): Promise<unknown> {
    const published = this.#client.publishAsync(topic, text, { qos: 1, ...options });
    return within(published, `the broker takes a message on ${topic}`);
  }

  /** Messages on topics that end so, from `since` on. */
  on(suffix: string, since = 0): readonly Heard[] {
    return this.heard.filter(({ topic, at }) => topic.endsWith(suffix) && at >= since);
  }

  /** The newest message on a topic that ends so, as JSON. */
  last(suffix: string, since = 0): Readonly<Record<string, unknown>> | undefined {
    const message = this.on(suffix, since).findLast(({ text }) => text !== "");
    return message === undefined ? undefined : JSON.parse(message.text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.endAsync(true);
  }
}
