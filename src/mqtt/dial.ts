/** A connected, and with mqtts:// a verified, byte stream to the broker: nothing is said before it is. */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import type { MqttOptions } from "./options.ts";

const DIAL_TIMEOUT_MS = 10_000;

export interface Dialled {
  readonly stream: Duplex;
  /** Closes at once and makes the kernel forget what it has not delivered. */
  readonly reset: () => void;
}

/** Host and port for logs. Never holds credentials: the schema refuses them in the URL. */
export function endpointOf(url: string): {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
} {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === "mqtts:";
  return {
    host: hostname.replace(/^\[|\]$/g, ""),
    port: port === "" ? (secure ? 8883 : 1883) : Number(port),
    secure,
  };
}

/** @throws Fault `broker_unreachable`, `broker_not_trusted`, `credential_unreadable` */
export async function dial(
  options: MqttOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<Dialled> {
  const { host, port, secure } = endpointOf(options.url);
  using limit = timeLimit(clock, DIAL_TIMEOUT_MS, signal);
  const tls = secure ? await readTlsFiles(options) : undefined;
  const raw = connectTcp({ host, port, noDelay: true, keepAlive: true });
  // Whoever uses the stream listens too; this one keeps a late error from being nobody's.
  raw.on("error", ignore);
  try {
    await once(raw, "connect", { signal: limit.signal });
    if (tls === undefined) return { stream: raw, reset: () => resetSocket(raw) };
    const stream = connectTls({
      socket: raw,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...tls,
      minVersion: "TLSv1.2",
      rejectUnauthorized: true,
    });
    stream.on("error", ignore);
    await once(stream, "secureConnect", { signal: limit.signal });
    return { stream, reset: () => resetSocket(raw, stream) };
  } catch (thrown) {
    raw.destroy();
    throw dialFault(thrown, limit, `${host}:${port}`, secure);
  }
}

function ignore(): void {}

function resetSocket(raw: Socket, stream?: Duplex): void {
  if (!raw.destroyed) raw.resetAndDestroy();
  stream?.destroy();
}

function dialFault(thrown: unknown, limit: TimeLimit, where: string, secure: boolean): Fault {
  const code = limit.expired() ? "ETIMEDOUT" : codeOf(thrown);
  if (secure && /^(ERR_TLS|CERT_|UNABLE_|DEPTH_|SELF_SIGNED|ERR_SSL|HOSTNAME)/.test(code)) {
    return new Fault(
      "broker_not_trusted",
      `the broker at ${where} is not who it should be (${code}): check caFile and its certificate`,
      { retry: "later" },
    );
  }
  return new Fault(
    "broker_unreachable",
    `no connection to the broker at ${where} (${code}): check that it runs and is reachable`,
    { retry: "later" },
  );
}

async function readTlsFiles(
  options: MqttOptions,
): Promise<{ ca?: Buffer; cert?: Buffer; key?: Buffer }> {
  const { caFile, certFile, keyFile } = options;
  return {
    ...(caFile === undefined ? {} : { ca: await readFileOf("caFile", caFile) }),
    ...(certFile === undefined ? {} : { cert: await readFileOf("certFile", certFile) }),
    ...(keyFile === undefined ? {} : { key: await readFileOf("keyFile", keyFile) }),
  };
}

/** The password, without the newline that editors add. */
export async function readPassword(options: MqttOptions): Promise<Buffer | undefined> {
  if (options.passwordFile === undefined) return undefined;
  const text = (await readFileOf("passwordFile", options.passwordFile)).toString("utf8");
  return Buffer.from(text.replace(/\r?\n$/, ""), "utf8");
}

async function readFileOf(key: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw new Fault(
      "credential_unreadable",
      `mqtt.${key}: cannot read ${path} (${codeOf(thrown)}): check the path and who may read it`,
      { retry: "later" },
    );
  }
}

interface TimeLimit extends Disposable {
  readonly signal: AbortSignal;
  readonly expired: () => boolean;
}

/** A signal that follows `outer` and also aborts after `ms`. */
export function timeLimit(clock: Clock, ms: number, outer: AbortSignal): TimeLimit {
  const expiry = new AbortController();
  const stop = new AbortController();
  let ended = false;
  void clock.sleep(ms, AbortSignal.any([outer, stop.signal])).then(() => {
    if (!ended) expiry.abort();
  });
  return {
    signal: AbortSignal.any([outer, expiry.signal]),
    expired: () => expiry.signal.aborted && !outer.aborted,
    [Symbol.dispose]: () => {
      ended = true;
      stop.abort();
    },
  };
}
