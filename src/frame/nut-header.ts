/**
 * The packets that say how a NUT stream is to be read. Source: the public NUT Open Container Format
 * specification; only what ffmpeg's muxer makes of one raw NV12 video stream is accepted.
 */
import { NutCursor, nutChecksum } from "./nut-cursor.ts";

/** Start codes, as their two halves: a 64-bit number does not fit a double. */
export type PacketKind = "main" | "stream" | "syncpoint" | "index" | "info";
const START_CODES: ReadonlyMap<number, { readonly low: number; readonly kind: PacketKind }> =
  new Map([
    [0x4e4d7a56, { low: 0x1f5f04ad, kind: "main" as const }],
    [0x4e531140, { low: 0x5bf2f9db, kind: "stream" as const }],
    [0x4e4be4ad, { low: 0xeeca4569, kind: "syncpoint" as const }],
    [0x4e58dd67, { low: 0x2f23e64e, kind: "index" as const }],
    [0x4e49ab68, { low: 0xb596ba78, kind: "info" as const }],
  ]);
export const START_CODE_BYTES = 8;
/** Every start code begins with it, and no frame does. */
export const START_BYTE = 0x4e;

/** No packet that ffmpeg makes of one video stream comes near; a longer one is torn. */
export const PACKET_MAX_BYTES = 32 * 1024;
const SIDE_MAX_PX = 16384;

export const FrameFlag = {
  codedPts: 8,
  streamId: 16,
  sizeMsb: 32,
  checksum: 64,
  reserved: 128,
  sideData: 256,
  headerIndex: 1024,
  matchTime: 2048,
  coded: 4096,
  invalid: 8192,
} as const;

/** What one value of a frame's first byte stands for. */
export interface FrameCode {
  readonly flags: number;
  readonly sizeMul: number;
  readonly sizeLsb: number;
  readonly ptsDelta: number;
  readonly reservedCount: number;
  readonly headerIndex: number;
}

export interface TimeBase {
  readonly num: number;
  readonly den: number;
}

export interface MainHeader {
  readonly timeBases: readonly TimeBase[];
  readonly frameCodes: readonly FrameCode[];
  /** Bytes that begin many frames and are then left out of them; entry 0 is empty. */
  readonly elided: readonly Uint8Array[];
  readonly broadcast: boolean;
}

export interface StreamHeader {
  readonly timeBase: TimeBase;
  readonly msbPtsShift: number;
  readonly widthPx: number;
  readonly heightPx: number;
}

export interface Packet {
  readonly kind: PacketKind;
  /** The body, its checksum verified: a view. */
  readonly body: Uint8Array;
  /** Where the next packet or frame begins. */
  readonly next: number;
}

/** @returns the kind of packet that begins at `at`, or undefined when no start code is there */
export function startCodeAt(bytes: Uint8Array, at: number): PacketKind | undefined {
  const cursor = new NutCursor(bytes, at);
  const high = cursor.uint32();
  const low = cursor.uint32();
  if (cursor.overrun) return undefined;
  const known = START_CODES.get(high);
  return known?.low === low ? known.kind : undefined;
}

/** @returns the packet at `at`; `more` when its end is not there yet; `bad` when it is none or torn */
export function packetAt(bytes: Uint8Array, at: number): Packet | "more" | "bad" {
  if (bytes.length - at < START_CODE_BYTES) return "more";
  const kind = startCodeAt(bytes, at);
  if (kind === undefined) return "bad";
  const cursor = new NutCursor(bytes, at + START_CODE_BYTES);
  const forward = cursor.varint(PACKET_MAX_BYTES);
  if (cursor.bad || (forward < 4 && !cursor.overrun)) return "bad";
  if (forward > 4096) {
    const checkedTo = cursor.at;
    const checksum = cursor.uint32();
    if (!cursor.overrun && checksum !== nutChecksum(bytes, at, checkedTo)) return "bad";
  }
  const next = cursor.at + forward;
  if (cursor.overrun || next > bytes.length) return "more";
  const bodyEnd = next - 4;
  if (new NutCursor(bytes, bodyEnd).uint32() !== nutChecksum(bytes, cursor.at, bodyEnd))
    return "bad";
  return { kind, body: bytes.subarray(cursor.at, bodyEnd), next };
}

/** @returns undefined when the stream is not one video stream as ffmpeg writes it */
export function parseMainHeader(body: Uint8Array): MainHeader | undefined {
  const cursor = new NutCursor(body);
  const version = cursor.varint();
  if (version < 2 || version > 4) return undefined;
  if (version > 3) cursor.skipVarint(); // minor version
  const streamCount = cursor.varint();
  cursor.skipVarint(); // max_distance: syncpoints are found by their start codes
  const timeBaseCount = cursor.varint(16);
  if (streamCount !== 1 || timeBaseCount === 0) return undefined;
  const timeBases = Array.from({ length: timeBaseCount }, () => ({
    num: cursor.varint(),
    den: cursor.varint(),
  }));
  const frameCodes = parseFrameCodes(cursor);
  const elidedCount = cursor.varint(127);
  const elided = [new Uint8Array(0)];
  for (let i = 0; i < elidedCount; i += 1) elided.push(cursor.sized(255).slice());
  const broadcast = version > 3 && (cursor.varint() & 1) === 1;
  if (cursor.bad || cursor.overrun || frameCodes === undefined) return undefined;
  if (timeBases.some(({ num, den }) => num < 1 || den < 1)) return undefined;
  return { timeBases, frameCodes, elided, broadcast };
}

/** Spec, "Main header": run-length coded lines, each giving only the fields that differ from before. */
function parseFrameCodes(cursor: NutCursor): readonly FrameCode[] | undefined {
  const codes: FrameCode[] = [];
  let ptsDelta = 0;
  let sizeMul = 1;
  let headerIndex = 0;
  while (codes.length < 256) {
    const flags = cursor.varint();
    const fields = cursor.varint(64);
    if (fields > 0) ptsDelta = cursor.signed();
    if (fields > 1) sizeMul = cursor.varint(16384);
    if (fields > 2) cursor.skipVarint(); // stream: there is one
    const sizeFirst = fields > 3 ? cursor.varint(16384) : 0;
    const reservedCount = fields > 4 ? cursor.varint(256) : 0;
    const count = fields > 5 ? cursor.varint(256) : sizeMul - sizeFirst;
    if (fields > 6) cursor.skipVarint(); // match time
    if (fields > 7) headerIndex = cursor.varint(127);
    for (let i = 8; i < fields; i += 1) cursor.skipVarint();
    if (cursor.bad || cursor.overrun || count < 1) return undefined;
    for (let i = 0; i < count && codes.length < 256; i += 1) {
      if (codes.length === START_BYTE)
        codes.push({
          flags: FrameFlag.invalid,
          sizeMul: 1,
          sizeLsb: 0,
          ptsDelta: 0,
          reservedCount: 0,
          headerIndex: 0,
        });
      codes.push({ flags, sizeMul, sizeLsb: sizeFirst + i, ptsDelta, reservedCount, headerIndex });
    }
  }
  return codes;
}

/** @returns undefined when the stream is not raw NV12 video with even sides */
export function parseStreamHeader(body: Uint8Array, main: MainHeader): StreamHeader | undefined {
  const cursor = new NutCursor(body);
  const streamId = cursor.varint();
  const streamClass = cursor.varint();
  const fourcc = String.fromCharCode(...cursor.sized(4));
  const timeBase = main.timeBases[cursor.varint()];
  const msbPtsShift = cursor.varint(30);
  cursor.skipVarint(); // max_pts_distance
  cursor.skipVarint(); // decode_delay
  cursor.skipVarint(); // stream_flags
  cursor.sized(1024); // codec specific data
  const widthPx = cursor.varint(SIDE_MAX_PX);
  const heightPx = cursor.varint(SIDE_MAX_PX);
  if (cursor.bad || cursor.overrun || timeBase === undefined) return undefined;
  if (streamId !== 0 || streamClass !== 0 || fourcc !== "NV12") return undefined;
  if (widthPx < 2 || heightPx < 2 || widthPx % 2 === 1 || heightPx % 2 === 1) return undefined;
  return { timeBase, msbPtsShift, widthPx, heightPx };
}
