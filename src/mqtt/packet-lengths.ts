/**
 * mqtt-packet keeps the encoded length of each packet it writes, one for every length that occurs: a few bytes
 * cut from Node's buffer pool, which hold on to their 64 KiB of it, up to 1 GB within weeks
 * (https://github.com/mqttjs/mqtt-packet/issues/163). Made all at once they share 300 KB.
 */
import { createRequire } from "node:module";

interface Packets {
  readonly writeToStream: {
    (packet: object, stream: { readonly write: () => boolean }): boolean;
    cacheNumbers: boolean;
  };
}

/** Longer ones are not kept. */
const KEPT_BELOW = 16_384;
/** Of a publication at QoS 0 without a topic, behind its length. */
const HEADER_BYTES = 2;

/** Once, before the first connection of a process that stays. */
export function keepPacketLengths(): void {
  // The copy that mqtt.js writes with.
  const ofMqtt = createRequire(createRequire(import.meta.url).resolve("mqtt"));
  const { writeToStream } = ofMqtt("mqtt-packet") as Packets;
  // Not all 16-bit numbers as well: 7 MB.
  writeToStream.cacheNumbers = false;
  const payload = Buffer.alloc(KEPT_BELOW);
  for (let length = HEADER_BYTES; length < KEPT_BELOW; length += 1)
    writeToStream(
      { cmd: "publish", topic: "", payload: payload.subarray(HEADER_BYTES, length) },
      { write: () => true },
    );
}
