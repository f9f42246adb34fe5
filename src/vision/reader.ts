/** The reader: drains the frame sockets of all cameras into shared memory, whatever the models do. */
import type { Socket } from "node:net";
import { frameBytes } from "../frame/frame.ts";
import { type NutFrame, NutReader, type NutSink } from "../frame/nut.ts";
import { StreamTime } from "../frame/stream-time.ts";
import { type CameraId, epochMs, monotonicMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type {
  AttachMessage,
  CameraHealthMessage,
  StreamHeaderMessage,
} from "../observation/messages.ts";
import { CameraWatch, COUNTERS } from "./camera-watch.ts";
import { discard } from "./discard.ts";
import { FrameSlots } from "./slots.ts";

/** A decoder that was not told its size may send up to this. */
const FRAME_MAX_BYTES = frameBytes("nv12", 3840, 2160);
/**
 * Frames that waited in a buffer come late by their own times and are dated back. A delay that stays is
 * followed at this rate: half a second of it stops costing frames within ten seconds, while a burst of
 * old frames stays old. Delays beyond `driftMaxMs` are main's business.
 */
const DELAY_FOLLOWED = 0.05;
/** A successor is told of an origin that moved by this much. */
const ORIGIN_MOVED_MS = 100;
const ORIGIN_BYTES = 8;

export interface ReaderEvents {
  /** A camera has memory: new, or larger than before. `counters` as in `camera-watch.ts`. */
  readonly onMemory: (
    cameraId: CameraId,
    memory: SharedArrayBuffer,
    counters: SharedArrayBuffer,
  ) => void;
  /** A frame waits in that camera's slots. */
  readonly onFrame: (cameraId: CameraId) => void;
  readonly onGone: (cameraId: CameraId) => void;
  readonly send: (message: CameraHealthMessage | StreamHeaderMessage) => void;
}

interface Camera {
  readonly socket: Socket;
  readonly nut: NutReader;
  readonly watch: CameraWatch;
  readonly counters: SharedArrayBuffer;
  readonly time: StreamTime;
  slots: FrameSlots | undefined;
  /** The stream's origin as main was last told. */
  reportedOriginMs: number | undefined;
}

export class Reader {
  readonly #cameras = new Map<CameraId, Camera>();
  readonly #events: ReaderEvents;
  readonly #clock: Clock;

  constructor(events: ReaderEvents, clock: Clock) {
    this.#events = events;
    this.#clock = clock;
  }

  /** Takes over the socket. A camera that is attached already is detached first. */
  attach(message: AttachMessage, socket: Socket): void {
    const { cameraId, header, widthPx, heightPx } = message;
    this.detach(cameraId);
    const bounded = widthPx !== undefined && heightPx !== undefined;
    // A portrait camera may send the sides the other way round: the bound is on bytes.
    const maxFrameBytes = bounded ? frameBytes("nv12", widthPx, heightPx) : FRAME_MAX_BYTES;
    const counters = new SharedArrayBuffer(COUNTERS * 8);
    const known = header === undefined ? undefined : unpackHeader(header);
    const camera: Camera = {
      socket,
      nut: new NutReader({ header: known?.header, maxFrameBytes }),
      watch: new CameraWatch(cameraId, new Float64Array(counters)),
      counters,
      time: new StreamTime(known?.originMs, DELAY_FOLLOWED),
      slots: undefined,
      reportedOriginMs: undefined,
    };
    this.#cameras.set(cameraId, camera);
    const sink = this.#sinkOf(cameraId, camera);
    socket.on("data", (chunk: Buffer) => {
      // Not as a Buffer: its `slice` is a view, and what is kept of a chunk must not keep the chunk.
      camera.nut.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength), sink);
      discard(chunk);
    });
    // The decoder's end is main's business; here the stream just stops.
    socket.on("error", () => undefined);
    socket.resume();
  }

  detach(cameraId: CameraId): void {
    const camera = this.#cameras.get(cameraId);
    if (camera === undefined) return;
    this.#cameras.delete(cameraId);
    camera.socket.destroy();
    this.#events.onGone(cameraId);
  }

  /** Sends every camera's health; called once a second. */
  report(): void {
    for (const [cameraId, camera] of this.#cameras) {
      this.#reportHeader(cameraId, camera);
      this.#events.send(camera.watch.health(camera.nut.resyncs, this.#clock.monotonicMs()));
    }
  }

  #sinkOf(cameraId: CameraId, camera: Camera): NutSink {
    return {
      room: (byteLength) => {
        camera.slots = this.#slotsFor(cameraId, camera, byteLength);
        const begun = camera.slots.begin(byteLength);
        if (begun === undefined) camera.watch.skipped();
        else if (begun.dropped) camera.watch.dropped();
        return begun?.room;
      },
      frame: (frame) => this.#arrived(cameraId, camera, frame),
    };
  }

  #arrived(cameraId: CameraId, camera: Camera, frame: NutFrame): void {
    const at = { monotonicMs: this.#clock.monotonicMs(), epochMs: this.#clock.epochMs() };
    const sequence = camera.watch.received(frame.ptsMs, frame.pixels, at);
    const lateMs = camera.time.lateness(frame.ptsMs, at.monotonicMs);
    camera.slots?.finish(frame.widthPx, frame.heightPx, {
      sequence,
      capturedMonotonicMs: monotonicMs(at.monotonicMs - lateMs),
      capturedEpochMs: epochMs(at.epochMs - lateMs),
    });
    this.#events.onFrame(cameraId);
    // The first frame is news: main need not wait a second to hear that the camera is back.
    if (sequence === 0) this.#events.send(camera.watch.health(camera.nut.resyncs, at.monotonicMs));
    if (camera.reportedOriginMs === undefined) this.#reportHeader(cameraId, camera);
  }

  #slotsFor(cameraId: CameraId, camera: Camera, byteLength: number): FrameSlots {
    if (camera.slots !== undefined && camera.slots.slotBytes >= byteLength) return camera.slots;
    // Whole 64-bit words, so that the next slot begins on one.
    const slots = FrameSlots.create(Math.ceil(byteLength / 8) * 8);
    this.#events.onMemory(cameraId, slots.memory, camera.counters);
    return slots;
  }

  /** What a successor needs to go on in the middle of the stream: its origin in time, then its header. */
  #reportHeader(cameraId: CameraId, camera: Camera): void {
    const { originMs } = camera.time;
    const header = camera.nut.headerBytes;
    if (originMs === undefined || header === undefined) return;
    if (
      Math.abs(originMs - (camera.reportedOriginMs ?? Number.POSITIVE_INFINITY)) < ORIGIN_MOVED_MS
    )
      return;
    camera.reportedOriginMs = originMs;
    this.#events.send({ kind: "stream-header", cameraId, bytes: packHeader(originMs, header) });
  }
}

function packHeader(originMs: number, header: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(ORIGIN_BYTES + header.byteLength);
  new DataView(bytes.buffer).setFloat64(0, originMs, true);
  bytes.set(header, ORIGIN_BYTES);
  return bytes;
}

function unpackHeader(bytes: Uint8Array): {
  readonly originMs: number;
  readonly header: Uint8Array;
} {
  const originMs = new DataView(bytes.buffer, bytes.byteOffset, ORIGIN_BYTES).getFloat64(0, true);
  return { originMs, header: bytes.subarray(ORIGIN_BYTES) };
}
