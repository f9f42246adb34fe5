/** A link with its keys and a history in memory, and somebody who listens on the broker. */
import { generateKeyPairSync } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { connectAsync, type IPublishPacket, type MqttClient } from "mqtt";
import type { Decision } from "../../src/decision/decision.ts";
import { type CameraId, type DoorId, epochMs, type TrackId } from "../../src/lib/brand.ts";
import { Envelope } from "../../src/lib/envelope.ts";
import { type Signer, signerFromPem } from "../../src/mqtt/envelope.ts";
import { MqttLink } from "../../src/mqtt/link.ts";
import { MqttOptions } from "../../src/mqtt/options.ts";
import type { EventOutbox, OutboxEvent } from "../../src/mqtt/outbox-port.ts";
import { createClock } from "../../src/system/clock.ts";
import { RecordingLog } from "../support/log.ts";

export const BASE = "ostiary/v1/lab/box/";

export function newSigner(): Signer & { readonly publicKey: string } {
  const { privateKey } = generateKeyPairSync("ed25519");
  return signerFromPem(privateKey.export({ type: "pkcs8", format: "pem" }).toString());
}

export class MemoryOutbox implements EventOutbox {
  readonly rows: OutboxEvent[] = [];
  readonly sent = new Set<number>();
  readonly #listeners = new Set<() => void>();

  append(count: number): void {
    for (let i = 0; i < count; i += 1) {
      const seq = this.rows.length + 1;
      this.rows.push({
        seq,
        type: "decision",
        at: epochMs(1_760_000_000_000 + seq),
        body: `{"n":${seq}}`,
      });
    }
    for (const listener of this.#listeners) listener();
  }

  readonly unsent = (limit: number) =>
    this.rows.filter((row) => !this.sent.has(row.seq)).slice(0, limit);
  readonly markSent = (seq: number): void => void this.sent.add(seq);
  readonly history = (fromSeq: number, limit: number) =>
    this.rows.filter((row) => row.seq >= fromSeq).slice(0, limit);
  readonly bounds = () =>
    this.rows.length === 0 ? undefined : { first: 1, last: this.rows.length };
  readonly onAppended = (listener: () => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };
}

export interface Rig extends AsyncDisposable {
  readonly link: MqttLink;
  readonly outbox: MemoryOutbox;
  readonly log: RecordingLog;
  readonly signer: Signer & { readonly publicKey: string };
  /** Says goodbye, as on SIGTERM. */
  readonly stop: () => Promise<void>;
}

/** A running link against `url`, with short waits. `options` overrides what the file would say. */
export function startLink(
  url: string,
  options: Record<string, unknown> = {},
  bootId = "boot-1",
  onDesired?: (text: string) => void,
): Rig {
  const parsed = MqttOptions.parse({
    url,
    site: "lab",
    device: "box",
    reconnect: { firstMs: 50, maxMs: 200 },
    ...options,
  });
  const signer = newSigner();
  const outbox = new MemoryOutbox();
  const log = new RecordingLog();
  const link = new MqttLink(parsed, {
    clock: createClock(),
    log,
    random: () => 0.5,
    bootId,
    signer,
    outbox,
    onDesired,
  });
  const stop = new AbortController();
  const running = link.run(stop.signal);
  return {
    link,
    outbox,
    log,
    signer,
    stop: async () => {
      stop.abort();
      await running;
    },
    [Symbol.asyncDispose]: async () => {
      await link[Symbol.asyncDispose]();
    },
  };
}

export interface Heard {
  readonly topic: string;
  readonly text: string;
  readonly retain: boolean;
  readonly at: number;
  readonly packet: IPublishPacket;
}

export interface Listener extends AsyncDisposable {
  readonly client: MqttClient;
  readonly heard: Heard[];
  readonly on: (topic: string) => readonly Heard[];
}

/** Another client of the broker that remembers everything under `filter`; reconnects by itself. */
export async function listen(url: string, filter = `${BASE}#`, ca?: Buffer): Promise<Listener> {
  const client = await connectAsync(url, {
    protocolVersion: 5,
    reconnectPeriod: 50,
    clean: true,
    ...(ca === undefined ? {} : { ca }),
  });
  const heard: Heard[] = [];
  client.on("error", () => {});
  client.on("message", (topic, payload, packet) => {
    heard.push({ topic, text: payload.toString(), retain: packet.retain, at: Date.now(), packet });
  });
  await client.subscribeAsync({ [filter]: { qos: 1, rap: true } });
  return {
    client,
    heard,
    on: (topic) => heard.filter((one) => one.topic === `${BASE}${topic}`),
    [Symbol.asyncDispose]: async () => {
      await client.endAsync(true);
    },
  };
}

export async function until(
  what: string,
  condition: () => boolean,
  limitMs = 20_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(10);
  }
}

/** The signed payload of an envelope as text was sent, unverified. */
export function payloadOf(text: string): Record<string, unknown> {
  return JSON.parse(Envelope.parse(JSON.parse(text)).payload) as Record<string, unknown>;
}

export function decisionFor(id: string, ttlMs: number, now = Date.now()): Decision {
  return {
    id,
    outcome: "deny",
    reason: "unknown",
    doorId: "front" as DoorId,
    cameraId: "hall" as CameraId,
    trackId: "t1" as TrackId,
    issuedAt: epochMs(now),
    expiresAt: epochMs(now + ttlMs),
    scoreBand: "low",
    frames: 3,
  };
}
