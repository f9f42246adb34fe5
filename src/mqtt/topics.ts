/** Topic names: built and taken apart here and nowhere else. */
import { CommandPayload, KeyId } from "../lib/envelope.ts";

/** A topic below `ostiary/v1/<site>/<device>/` that holds a state. */
export type RetainedTopic =
  | "info"
  | `camera/${string}/state`
  | `door/${string}/state`
  | "update/state";

export interface Topics {
  readonly base: string;
  readonly state: string;
  readonly decision: string;
  readonly event: string;
  readonly health: string;
  /** Filter that matches every command. */
  readonly commands: string;
  readonly updateDesired: string;
  readonly command: (name: string) => string;
  readonly response: (kid: string, replyTo: string) => string;
  readonly retained: (name: RetainedTopic) => string;
}

export interface ReplyAddress {
  readonly kid: string;
  /** Last level of the topic, chosen by the client. */
  readonly replyTo: string;
}

/** @param address `<site>/<device>`, both checked by `SiteId` and `DeviceId`: no wildcard, no separator */
export function topicsOf(address: string): Topics {
  const base = `ostiary/v1/${address}/`;
  return {
    base,
    state: `${base}state`,
    decision: `${base}decision`,
    event: `${base}event`,
    health: `${base}health`,
    commands: `${base}command/#`,
    updateDesired: `${base}update/desired`,
    command: (name) => `${base}command/${name}`,
    response: (kid, replyTo) => `${base}response/${kid}/${replyTo}`,
    retained: (name) => `${base}${name}`,
  };
}

/** @returns the command's name (`identity/put`), or undefined when the topic is no command of ours */
export function commandOf(topics: Topics, topic: string): string | undefined {
  const prefix = `${topics.base}command/`;
  if (!topic.startsWith(prefix)) return undefined;
  const name = topic.slice(prefix.length);
  return CommandPayload.shape.cmd.safeParse(name).success ? name : undefined;
}

/** @returns who is answered on that topic, or undefined when it does not lie under our `response/` */
export function replyAddressOf(topics: Topics, topic: string): ReplyAddress | undefined {
  const prefix = `${topics.base}response/`;
  if (!topic.startsWith(prefix)) return undefined;
  const [kid, replyTo, ...rest] = topic.slice(prefix.length).split("/");
  if (kid === undefined || replyTo === undefined || rest.length > 0) return undefined;
  return isReplyAddress({ kid, replyTo }) ? { kid, replyTo } : undefined;
}

export function isReplyAddress(address: ReplyAddress): boolean {
  return (
    KeyId.safeParse(address.kid).success &&
    CommandPayload.shape.replyTo.safeParse(address.replyTo).success
  );
}
