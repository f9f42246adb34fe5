/**
 * A door that believes only what its device has signed. Prints one JSON line per decision; replace `act`.
 *
 *   scripts/node scripts/consumer/consumer.ts --url mqtts://broker --device site/device --key BASE64
 *     [--ca FILE] [--username NAME --password-file FILE]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { connect, type IClientOptions, type MqttClient } from "mqtt";
import {
  type Decision,
  DecisionVerifier,
  type RefusalCode,
  type VerifierOptions,
} from "./verify.ts";

export interface ConsumerOptions extends VerifierOptions {
  readonly url: string;
  readonly mqtt?: IClientOptions;
}

export interface ConsumerCallbacks {
  /** Called at most once per decision, grants and denials alike, and only while it may be acted upon. */
  readonly onDecision: (decision: Decision) => void;
  readonly onRefused: (code: RefusalCode) => void;
}

/** Subscribes to one device's live feed. A clean session: what was said while we were away is not for us. */
export function consume(
  options: ConsumerOptions,
  callbacks: ConsumerCallbacks,
  now: () => number,
): MqttClient {
  const verifier = new DecisionVerifier(options, now());
  const topic = `ostiary/v1/${options.device}/decision`;
  const client = connect(options.url, {
    ...options.mqtt,
    protocolVersion: 5,
    clean: true,
    properties: { sessionExpiryInterval: 0, maximumPacketSize: 65_536 },
  });
  client.on("connect", () => {
    client.subscribe(topic, { qos: 1, rap: true, rh: 2 }, () => {});
  });
  client.on("message", (_topic, message, packet) => {
    const verdict = verifier.check(message, packet.retain, now());
    if (verdict.kind === "ok") callbacks.onDecision(verdict.decision);
    else callbacks.onRefused(verdict.code);
  });
  return client;
}

/** Here the relay would close. A grant for another door is not ours: compare `decision.door`. */
function act(decision: Decision): void {
  process.stdout.write(`${JSON.stringify(decision)}\n`);
}

function main(): void {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    options: {
      url: text,
      device: text,
      key: text,
      ca: text,
      username: text,
      "password-file": text,
    },
  });
  const { url, device, key, ca, username, "password-file": passwordFile } = values;
  if (url === undefined || device === undefined || key === undefined) {
    process.stderr.write(
      "usage: consumer.ts --url mqtts://broker --device site/device --key BASE64\n",
    );
    process.exitCode = 2;
    return;
  }
  const mqtt: IClientOptions = {
    ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined
      ? {}
      : { password: readFileSync(passwordFile, "utf8").trimEnd() }),
  };
  const refusedLine = (code: RefusalCode): void => void process.stderr.write(`refused: ${code}\n`);
  const client = consume(
    { url, device, publicKey: key, mqtt },
    { onDecision: act, onRefused: refusedLine },
    Date.now,
  );
  client.on("error", (error) =>
    process.stderr.write(`broker: ${"code" in error ? error.code : error.name}\n`),
  );
}

if (import.meta.main) main();
