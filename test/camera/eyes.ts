/** A stand-in for vision: reads frame sockets with the real parser and reports health, five times a second. */
import type { Socket } from "node:net";
import type { FrameSink } from "../../src/camera/supervisor.ts";
import { NutReader } from "../../src/frame/nut.ts";
import { type CameraId, epochMs } from "../../src/lib/brand.ts";
import type { CameraHealthMessage } from "../../src/observation/messages.ts";
import { createClock } from "../../src/system/clock.ts";

const FRAME_MAX_BYTES = 4096 * 4096;

export interface Seen {
  readonly at: number;
  readonly ptsMs: number;
  readonly widthPx: number;
  readonly heightPx: number;
}

/** Reads one frame socket. */
export class Eye {
  readonly cameraId: CameraId;
  readonly frames: Seen[] = [];
  readonly #reader: NutReader;
  readonly #socket: Socket;
  #pixels: Uint8Array = new Uint8Array(0);
  #changedAt = 0;
  #fps = 0;

  constructor(cameraId: CameraId, socket: Socket, header: Uint8Array | undefined) {
    this.cameraId = cameraId;
    this.#socket = socket;
    this.#reader = new NutReader({ header, maxFrameBytes: FRAME_MAX_BYTES });
    socket.on("data", this.#onData);
    socket.on("error", () => undefined);
    socket.resume();
  }

  get header(): Uint8Array | undefined {
    return this.#reader.headerBytes;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#reader.push(chunk, {
      room: (size) => new Uint8Array(size),
      frame: ({ ptsMs, widthPx, heightPx, pixels }) => {
        const at = createClock().monotonicMs();
        if (Buffer.compare(this.#pixels, pixels) !== 0) this.#changedAt = at;
        this.#pixels = pixels;
        this.frames.push({ at, ptsMs, widthPx, heightPx });
      },
    });
  };

  close(): void {
    this.#socket.off("data", this.#onData);
    this.#socket.pause();
  }

  health(): CameraHealthMessage {
    const now = createClock().monotonicMs();
    const first = this.frames[0];
    const last = this.frames.at(-1);
    this.#fps = this.frames.filter((frame) => frame.at > now - 1000).length;
    return {
      kind: "camera-health",
      cameraId: this.cameraId,
      framesReceived: this.frames.length,
      framesDropped: 0,
      framesProcessed: this.frames.length,
      resyncs: this.#reader.resyncs,
      ...(last === undefined
        ? {}
        : { lastFrameAt: { monotonicMs: last.at as never, epochMs: epochMs(Date.now()) } }),
      driftMs:
        first === undefined || last === undefined
          ? 0
          : last.at - first.at - (last.ptsMs - first.ptsMs),
      frozenMs: last === undefined ? 0 : last.at - this.#changedAt,
      fps: this.#fps,
    };
  }
}

export interface EyesOptions {
  readonly onHealth: (health: CameraHealthMessage) => void;
  readonly onHeader?: (cameraId: CameraId, bytes: Uint8Array) => void;
}

/** All cameras of one test. */
export class Eyes implements FrameSink, Disposable {
  readonly open = new Map<CameraId, Eye>();
  /** Every frame of every decoder, by camera. */
  readonly seen = new Map<CameraId, Seen[]>();
  readonly #stop: () => void;

  constructor(options: EyesOptions) {
    this.#stop = createClock().every(200, () => {
      for (const eye of this.open.values()) {
        if (eye.header !== undefined) options.onHeader?.(eye.cameraId, eye.header);
        options.onHealth(eye.health());
      }
    });
  }

  readonly attach = (cameraId: CameraId, socket: Socket, header: Uint8Array | undefined): void => {
    this.open.set(cameraId, new Eye(cameraId, socket, header));
  };

  readonly detach = (cameraId: CameraId): void => {
    const eye = this.open.get(cameraId);
    if (eye === undefined) return;
    eye.close();
    this.seen.set(cameraId, this.framesOf(cameraId));
    this.open.delete(cameraId);
  };

  framesOf(cameraId: CameraId): Seen[] {
    return [...(this.seen.get(cameraId) ?? []), ...(this.open.get(cameraId)?.frames ?? [])];
  }

  [Symbol.dispose](): void {
    this.#stop();
  }
}
