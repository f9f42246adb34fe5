/** A PUBLISH packet of the broker, told apart into what it means for us. */
import type { IPublishPacket } from "mqtt";
import type { EpochMs } from "../lib/brand.ts";
import type { IncomingCommand, ReplyProperty } from "./command.ts";
import { commandOf, replyAddressOf, type Topics } from "./topics.ts";

export type Received =
  | { readonly kind: "command"; readonly command: IncomingCommand }
  | { readonly kind: "state"; readonly text: string }
  /** What the director wants of this device: retained as a rule, and signed. */
  | { readonly kind: "desired"; readonly text: string }
  | { readonly kind: "other" };

/** Longest payload of `state` that is compared; longer ones are foreign anyway. */
const STATE_MAX_BYTES = 4096;
const CORRELATION_MAX_BYTES = 64;
/** More than any desired state has; the rest of a longer one is not looked at. */
const DESIRED_MAX_BYTES = 128 * 1024;

export function receive(packet: IPublishPacket, topics: Topics, receivedAt: EpochMs): Received {
  const topic = packet.topic.toString();
  const bytes =
    typeof packet.payload === "string" ? Buffer.from(packet.payload, "utf8") : packet.payload;
  if (topic === topics.state)
    return { kind: "state", text: bytes.subarray(0, STATE_MAX_BYTES).toString("utf8") };
  if (topic === topics.updateDesired && bytes.byteLength > 0)
    return { kind: "desired", text: bytes.subarray(0, DESIRED_MAX_BYTES).toString("utf8") };
  const name = commandOf(topics, topic);
  // An empty retained message clears a topic; it asks for nothing.
  if (name === undefined || bytes.byteLength === 0) return { kind: "other" };
  const correlation = correlationOf(packet.properties?.correlationData);
  return {
    kind: "command",
    command: {
      name,
      bytes: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      retained: packet.retain === true,
      reply:
        correlation === "bad"
          ? { kind: "foreign" }
          : replyOf(packet.properties?.responseTopic, topics),
      ...(correlation === undefined || correlation === "bad"
        ? {}
        : { correlation: correlation.text }),
      receivedAt,
    },
  };
}

function replyOf(responseTopic: string | undefined, topics: Topics): ReplyProperty {
  if (responseTopic === undefined) return { kind: "none" };
  const address = replyAddressOf(topics, responseTopic);
  return address === undefined ? { kind: "foreign" } : { kind: "ours", address };
}

function correlationOf(data: Buffer | undefined): { readonly text: string } | "bad" | undefined {
  if (data === undefined) return undefined;
  if (data.byteLength > CORRELATION_MAX_BYTES) return "bad";
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(data) };
  } catch {
    return "bad";
  }
}
