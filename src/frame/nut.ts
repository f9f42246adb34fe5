/**
 * Cuts a decoder's byte stream (NUT, one raw NV12 video stream) into frames, chunk by chunk, and finds
 * its way back after torn bytes or from the middle of a stream. Pixels are copied once, into room that
 * the caller supplies. Source: the public NUT Open Container Format specification.
 */
import { frameBytes } from "./frame.ts";
import { NutCursor, nutChecksum } from "./nut-cursor.ts";
import {
  FrameFlag,
  type MainHeader,
  PACKET_MAX_BYTES,
  type Packet,
  packetAt,
  parseMainHeader,
  parseStreamHeader,
  START_BYTE,
  START_CODE_BYTES,
  type StreamHeader,
  startCodeAt,
} from "./nut-header.ts";

export interface NutFrame {
  /** Presentation time since the stream's own beginning, ms. */
  readonly ptsMs: number;
  readonly widthPx: number;
  readonly heightPx: number;
  /** The room that {@link NutSink.room} gave, filled. NV12. */
  readonly pixels: Uint8Array;
}

export interface NutSink {
  /** @returns exactly `byteLength` bytes to write the next frame into, or undefined to have it skipped */
  readonly room: (byteLength: number, widthPx: number, heightPx: number) => Uint8Array | undefined;
  readonly frame: (frame: NutFrame) => void;
}

export interface NutReaderOptions {
  /** {@link NutReader.headerBytes} of an earlier reader of the same stream: makes a start in its middle possible. */
  readonly header?: Uint8Array | undefined;
  /** Streams whose frames are larger are never read. */
  readonly maxFrameBytes: number;
}

/** Large enough for main and stream header; messages that carry them are bounded by it. */
export const HEADER_MAX_BYTES = 2 * PACKET_MAX_BYTES;
const ELISION_MAX_BYTES = 4096;

interface Payload {
  readonly size: number;
  readonly ptsMs: number;
  /** Undefined when the frame is skipped. */
  readonly room: Uint8Array | undefined;
  filled: number;
}

interface FrameHeader {
  readonly size: number;
  readonly pts: number;
  readonly elided: Uint8Array;
  readonly next: number;
}

export class NutReader {
  readonly #maxFrameBytes: number;
  #main: { readonly header: MainHeader; readonly bytes: Uint8Array } | undefined;
  #stream: { readonly header: StreamHeader; readonly bytes: Uint8Array } | undefined;
  /** Bytes that were too few to tell; bounded by the largest packet. */
  #rest: Uint8Array = new Uint8Array(0);
  #payload: Payload | undefined;
  #lastPts = 0;
  /** Looking for a start code, since the bytes before made no sense. */
  #lost = true;
  #resyncs = 0;

  constructor(options: NutReaderOptions) {
    this.#maxFrameBytes = options.maxFrameBytes;
    if (options.header === undefined || options.header.length > HEADER_MAX_BYTES) return;
    this.push(options.header, { room: () => undefined, frame: () => undefined });
    this.#rest = new Uint8Array(0);
    this.#payload = undefined;
    this.#resyncs = 0;
    this.#lost = true;
  }

  /** How often bytes made no sense and were skipped up to the next start code. */
  get resyncs(): number {
    return this.#resyncs;
  }

  /** Main and stream header as they came, once both were seen; at most {@link HEADER_MAX_BYTES}. */
  get headerBytes(): Uint8Array | undefined {
    if (this.#main === undefined || this.#stream === undefined) return undefined;
    const bytes = new Uint8Array(this.#main.bytes.length + this.#stream.bytes.length);
    bytes.set(this.#main.bytes);
    bytes.set(this.#stream.bytes, this.#main.bytes.length);
    return bytes;
  }

  /** Takes the next bytes of the stream; calls `sink.frame` for every frame that they complete. Never throws of its own. */
  push(chunk: Uint8Array, sink: NutSink): void {
    let bytes = chunk;
    if (this.#rest.length > 0) {
      bytes = new Uint8Array(this.#rest.length + chunk.length);
      bytes.set(this.#rest);
      bytes.set(chunk, this.#rest.length);
    }
    let at = 0;
    for (;;) {
      const next = this.#step(bytes, at, sink);
      if (next === undefined) break;
      at = next;
    }
    this.#rest = at < bytes.length ? bytes.slice(at) : new Uint8Array(0);
  }

  /** @returns where to go on, or undefined when more bytes are needed from `at` on */
  #step(bytes: Uint8Array, at: number, sink: NutSink): number | undefined {
    if (this.#payload !== undefined) return this.#fill(this.#payload, bytes, at, sink);
    if (at >= bytes.length) return undefined;
    if (this.#lost) return this.#seek(bytes, at);
    if (bytes[at] !== START_BYTE) return this.#frame(bytes, at, sink);
    const packet = packetAt(bytes, at);
    if (packet === "more") return undefined;
    return packet !== "bad" && this.#accept(packet, bytes, at) ? packet.next : this.#lose(at);
  }

  #lose(at: number): number {
    this.#lost = true;
    this.#resyncs += 1;
    return at + 1;
  }

  /** Goes to the next whole packet from which frames can be read on. */
  #seek(bytes: Uint8Array, from: number): number | undefined {
    for (
      let at = bytes.indexOf(START_BYTE, from);
      at !== -1;
      at = bytes.indexOf(START_BYTE, at + 1)
    ) {
      if (bytes.length - at < START_CODE_BYTES) return at === from ? undefined : at;
      const kind = startCodeAt(bytes, at);
      const useful = kind === "main" || (kind === "syncpoint" && this.#stream !== undefined);
      if (!useful) continue;
      const packet = packetAt(bytes, at);
      if (packet === "more") return at === from ? undefined : at;
      if (packet === "bad" || !this.#accept(packet, bytes, at)) continue;
      this.#lost = false;
      return packet.next;
    }
    return bytes.length > from ? bytes.length : undefined;
  }

  /** @returns false when the packet is not one that this reader can go on from */
  #accept(packet: Packet, bytes: Uint8Array, at: number): boolean {
    switch (packet.kind) {
      case "main": {
        const header = parseMainHeader(packet.body);
        if (header === undefined) return false;
        const raw = bytes.slice(at, packet.next);
        if (this.#main !== undefined && !sameBytes(raw, this.#main.bytes)) this.#stream = undefined;
        this.#main = { header, bytes: raw };
        return true;
      }
      case "stream": {
        const header =
          this.#main === undefined ? undefined : parseStreamHeader(packet.body, this.#main.header);
        if (
          header === undefined ||
          frameBytes("nv12", header.widthPx, header.heightPx) > this.#maxFrameBytes
        )
          return false;
        this.#stream = { header, bytes: bytes.slice(at, packet.next) };
        return true;
      }
      case "syncpoint":
        return this.#synchronise(packet.body);
      default:
        return true;
    }
  }

  /** Spec, "Syncpoint": the key presentation time from which the frames after it count. */
  #synchronise(body: Uint8Array): boolean {
    if (this.#main === undefined || this.#stream === undefined) return false;
    const { timeBases } = this.#main.header;
    const coded = new NutCursor(body).varint();
    const from = timeBases[coded % timeBases.length];
    if (from === undefined) return false;
    const to = this.#stream.header.timeBase;
    this.#lastPts = Math.floor(
      (Math.floor(coded / timeBases.length) * from.num * to.den) / (from.den * to.num),
    );
    return true;
  }

  #frame(bytes: Uint8Array, at: number, sink: NutSink): number | undefined {
    if (this.#main === undefined || this.#stream === undefined) return this.#lose(at);
    const { widthPx, heightPx, timeBase } = this.#stream.header;
    const header = frameHeaderAt(bytes, at, this.#main.header, this.#stream.header, this.#lastPts);
    if (header === "more") return undefined;
    if (header === "bad" || header.size !== frameBytes("nv12", widthPx, heightPx))
      return this.#lose(at);
    this.#lastPts = header.pts;
    const room = sink.room(header.size, widthPx, heightPx);
    room?.set(header.elided);
    const ptsMs = (header.pts * timeBase.num * 1000) / timeBase.den;
    this.#payload = { size: header.size, ptsMs, room, filled: header.elided.length };
    return header.next;
  }

  #fill(payload: Payload, bytes: Uint8Array, at: number, sink: NutSink): number | undefined {
    const count = Math.min(bytes.length - at, payload.size - payload.filled);
    payload.room?.set(bytes.subarray(at, at + count), payload.filled);
    payload.filled += count;
    if (payload.filled < payload.size) return count === 0 ? undefined : at + count;
    this.#payload = undefined;
    if (payload.room !== undefined && this.#stream !== undefined) {
      const { widthPx, heightPx } = this.#stream.header;
      sink.frame({ ptsMs: payload.ptsMs, widthPx, heightPx, pixels: payload.room });
    }
    return at + count;
  }
}

/** Spec, "Frame": code, then the fields that its flags announce. */
function frameHeaderAt(
  bytes: Uint8Array,
  at: number,
  main: MainHeader,
  stream: StreamHeader,
  lastPts: number,
): FrameHeader | "more" | "bad" {
  const cursor = new NutCursor(bytes, at);
  const code = main.frameCodes[cursor.byte()];
  if (code === undefined) return "bad";
  let flags = code.flags;
  if (flags & FrameFlag.invalid) return "bad";
  if (flags & FrameFlag.coded) flags ^= cursor.varint(FrameFlag.invalid - 1);
  if (flags & FrameFlag.streamId && cursor.varint() !== 0) return "bad";
  const pts =
    flags & FrameFlag.codedPts
      ? fullPts(cursor.varint(), lastPts, stream.msbPtsShift)
      : lastPts + code.ptsDelta;
  const size = code.sizeLsb + (flags & FrameFlag.sizeMsb ? cursor.varint() * code.sizeMul : 0);
  if (flags & FrameFlag.matchTime) cursor.skipVarint();
  const index = flags & FrameFlag.headerIndex ? cursor.varint(127) : code.headerIndex;
  const reserved = flags & FrameFlag.reserved ? cursor.varint(256) : code.reservedCount;
  for (let i = 0; i < reserved; i += 1) cursor.skipVarint();
  if (flags & FrameFlag.checksum) {
    const checkedTo = cursor.at;
    const checksum = cursor.uint32();
    if (!cursor.overrun && checksum !== nutChecksum(bytes, at, checkedTo)) return "bad";
  }
  if (cursor.bad || flags & FrameFlag.sideData) return "bad";
  if (cursor.overrun) return "more";
  const elided = size <= ELISION_MAX_BYTES ? main.elided[index] : new Uint8Array(0);
  if (elided === undefined || elided.length > size) return "bad";
  return { size, pts, elided, next: cursor.at };
}

/** Spec, "coded_pts": either whole, or its low bits, to be completed near the last one. */
function fullPts(coded: number, lastPts: number, shift: number): number {
  const span = 2 ** shift;
  if (coded >= span) return coded - span;
  const delta = lastPts - Math.floor((span - 1) / 2);
  return delta + ((((coded - delta) % span) + span) % span);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
