/** The thread that owns the models: takes the newest frames in turn, and answers requests between them. */
import { setImmediate as turn } from "node:timers/promises";
import { measure, reasonsAgainst } from "../face/quality.ts";
import type { Frame } from "../frame/frame.ts";
import { type CameraId, epochMs, monotonicMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf, Fault, messageOf } from "../lib/fault.ts";
import { IPC_VERSION, type ObserveMessage, type VisionOptions } from "../observation/messages.ts";
import { type Seen, type Stages, see } from "../see.ts";
import { EmbeddingBudget } from "../track/budget.ts";
import { noTracks, type Tracks } from "../track/step.ts";
import { COUNTER } from "./camera-watch.ts";
import type { Models } from "./models.ts";
import { asBuffer, IMWRITE_JPEG_QUALITY, type Mat } from "./opencv.ts";
import type { Picture } from "./picture.ts";
import { FrameSampler } from "./sampler.ts";
import { lookAt, lookOf } from "./shadow-look.ts";
import { FrameSlots, type SlotFrame } from "./slots.ts";
import type { FromModelThread, ModelRequest, ToModelThread } from "./thread-messages.ts";

/** Requests that may wait; main sends one at a time per purpose, so more is a fault. */
const REQUESTS_MAX = 64;

interface Active {
  readonly models: Models;
  readonly options: VisionOptions;
  readonly budget: EmbeddingBudget;
}

interface Camera {
  readonly slots: FrameSlots;
  readonly counters: Float64Array;
}

export interface ModelThreadDeps {
  readonly open: (directory: string, options: VisionOptions) => Promise<Models>;
  readonly send: (message: FromModelThread) => void;
  readonly clock: Clock;
  readonly trackPrefix: string;
  readonly rssBytes: () => number;
}

export class ModelThread {
  readonly #deps: ModelThreadDeps;
  readonly #cameras = new Map<CameraId, Camera>();
  readonly #tracks = new Map<CameraId, Tracks>();
  readonly #collecting = new Set<CameraId>();
  readonly #snapshots = new Map<CameraId, number[]>();
  readonly #requests: ModelRequest[] = [];
  /** In the order in which cameras get their turn. */
  #turns: CameraId[] = [];
  #active: Active | undefined;
  #sampler: FrameSampler | undefined;
  #isRunning = false;
  /** Main takes observations. Before that they would be lost, and their tracks' quorum with them. */
  #isLooking = false;
  #progress = 0;
  /** How many times tracking began, over all cameras. */
  #generation = 0;

  constructor(deps: ModelThreadDeps) {
    this.#deps = deps;
  }

  /** Takes a message; the returned promise ends when nothing is left to do, and rejects when a frame made a model fail. */
  receive(message: ToModelThread): Promise<void> {
    switch (message.kind) {
      case "camera":
        this.#cameras.set(message.cameraId, {
          slots: new FrameSlots(message.memory),
          counters: new Float64Array(message.counters),
        });
        if (!this.#turns.includes(message.cameraId)) this.#turns.push(message.cameraId);
        break;
      case "gone":
        this.#cameras.delete(message.cameraId);
        this.#tracks.delete(message.cameraId);
        this.#turns = this.#turns.filter((id) => id !== message.cameraId);
        break;
      case "collect":
        if (message.active) this.#collecting.add(message.cameraId);
        else this.#collecting.delete(message.cameraId);
        break;
      case "look":
        this.#isLooking = true;
        break;
      case "sample":
        this.#sampler = message.rate === undefined ? undefined : new FrameSampler(message.rate);
        break;
      case "wake":
        break;
      default:
        if (this.#requests.length >= REQUESTS_MAX)
          this.#fail(
            message,
            new Fault("vision_busy", "too many requests wait for vision; try again", {
              retry: "later",
            }),
          );
        else this.#requests.push(message);
    }
    return this.#run();
  }

  /** One request, then one frame, until neither waits. The event loop turns between, so that messages come in. */
  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    try {
      for (;;) {
        const request = this.#requests.shift();
        if (request !== undefined) await this.#answer(request);
        const mayLook = this.#active !== undefined && this.#isLooking;
        const cameraId = mayLook ? this.#nextCamera() : undefined;
        if (cameraId !== undefined) await this.#look(cameraId);
        if (request === undefined && cameraId === undefined) return;
        this.#progress += 1;
        await turn();
      }
    } finally {
      this.#isRunning = false;
    }
  }

  /** Round robin: the camera that was looked at goes to the end. */
  #nextCamera(): CameraId | undefined {
    const cameraId = this.#turns.find((id) => this.#cameras.get(id)?.slots.hasFrame === true);
    if (cameraId !== undefined)
      this.#turns = [...this.#turns.filter((id) => id !== cameraId), cameraId];
    return cameraId;
  }

  async #look(cameraId: CameraId): Promise<void> {
    const camera = this.#cameras.get(cameraId);
    const active = this.#active;
    if (camera === undefined || active === undefined) return;
    await camera.slots.take(async (slot, passedOver) => {
      const ageMs = this.#deps.clock.monotonicMs() - slot.capturedMonotonicMs;
      const isTooOld = ageMs > active.options.frameAgeMaxMs;
      add(camera.counters, COUNTER.dropped, passedOver + (isTooOld ? 1 : 0));
      if (isTooOld) return;
      camera.counters[COUNTER.ageMs] = ageMs;
      const frame = frameOf(cameraId, slot);
      const picture = active.models.nv12(slot.pixels, slot.widthPx, slot.heightPx);
      this.#answerSnapshots(frame, picture, active.models);
      const seen = await this.#see(frame, picture, active);
      add(camera.counters, COUNTER.processed, 1);
      // It may have been detached meanwhile: then its tracks are gone, and stay so.
      if (this.#cameras.get(cameraId) === undefined) return;
      this.#tracks.set(cameraId, seen.tracks);
      this.#deps.send(seen.message);
      this.#sample(frame, seen.message, ageMs);
    });
  }

  /** Sends a copy of the frame and what was seen in it, when a candidate is to see it too. */
  #sample({ cameraId, widthPx, heightPx, pixels }: Frame, seen: ObserveMessage, ageMs: number) {
    const isEmbedded = seen.observations.some(({ embedding }) => embedding !== undefined);
    const nowMs = this.#deps.clock.monotonicMs();
    const sampler = this.#sampler;
    if (sampler?.takes(cameraId, nowMs, ageMs, isEmbedded) !== true) return;
    const frame = { cameraId, widthPx, heightPx, pixels: pixels.slice() };
    this.#deps.send({ kind: "sample", frame, look: lookOf(seen), shed: sampler.shedCount });
  }

  #see(frame: Frame, picture: Picture, active: Active): Promise<Seen> {
    const { models, options, budget } = active;
    const before = this.#tracks.get(frame.cameraId) ?? this.#newTracks();
    const stages: Stages<Mat> = {
      detect: () => models.detect(picture),
      align: (_, face) => {
        const aligned = models.align(picture, face.landmarks);
        if (aligned === undefined) return undefined;
        const measures = measure(face, aligned.statistics, picture.widthPx, picture.heightPx);
        const reasons = reasonsAgainst(measures, options.probe, true);
        return {
          crop: aligned.crop,
          measures,
          reasons,
          isEnrollable: reasonsAgainst(measures, options.enrolment, true).length === 0,
        };
      },
      mayEmbed: () => budget.take(frame.cameraId, frame.capturedAt.monotonicMs),
      lookAgain: (_, face) => models.lookAgain(picture, face),
      embed: (crop) => models.embed(crop),
      sourceCrop: (_, face) => models.sourceCrop(picture, face),
      nowMs: this.#deps.clock.monotonicMs,
    };
    const { quorumFrames, refreshMs, trackLostMs, trackCosineMin } = options;
    const isCollecting = this.#collecting.has(frame.cameraId);
    const { spaceId } = models.loaded;
    return see(
      frame,
      before,
      { quorumFrames, refreshMs, trackLostMs, trackCosineMin, isCollecting, spaceId },
      stages,
    );
  }

  /** A prefix of its own each time: a camera that comes back must not repeat the ids of its earlier tracks. */
  #newTracks(): Tracks {
    this.#generation += 1;
    return noTracks(`${this.#deps.trackPrefix}-${this.#generation}`);
  }

  async #answer(request: ModelRequest): Promise<void> {
    try {
      await this.#serve(request);
    } catch (thrown) {
      this.#fail(request, thrown);
    }
  }

  async #serve(request: ModelRequest): Promise<void> {
    const { requestId } = request;
    switch (request.kind) {
      case "load-pack": {
        if (this.#active !== undefined)
          throw new Fault("pack_loaded", "this process has a pack; another needs a new process");
        const models = await this.#deps.open(request.directory, request.options);
        this.#active = {
          models,
          options: request.options,
          budget: new EmbeddingBudget(request.options.embeddingsPerSecond),
        };
        return this.#deps.send({ kind: "load-pack", requestId, result: { data: models.loaded } });
      }
      case "analyse-image": {
        const data = await this.#loaded().models.analyse(request.image, request.maxFaces);
        return this.#deps.send({ kind: "analyse-image", requestId, result: { data } });
      }
      case "embed-crops": {
        const { models } = this.#loaded();
        const embeddings = await models.embedCrops(request.crops);
        return this.#deps.send({
          kind: "embed-crops",
          requestId,
          result: { data: { spaceId: models.loaded.spaceId, embeddings: [...embeddings] } },
        });
      }
      case "snapshot": {
        const { cameraId } = request;
        if (!this.#cameras.has(cameraId))
          throw new Fault("camera_away", `camera ${cameraId} gives no frames`, { retry: "later" });
        this.#snapshots.set(
          cameraId,
          [...(this.#snapshots.get(cameraId) ?? []), requestId].slice(-REQUESTS_MAX),
        );
        return;
      }
      case "self-test": {
        const found = await this.#loaded().models.selfTest(
          request.runs,
          this.#deps.clock.monotonicMs,
        );
        const data = { ...found, rssBytes: this.#deps.rssBytes() };
        return this.#deps.send({ kind: "self-test", requestId, result: { data } });
      }
      case "shadow": {
        const { models, options } = this.#loaded();
        const { monotonicMs: nowMs } = this.#deps.clock;
        const data = await lookAt(models, options, request.frame, nowMs);
        return this.#deps.send({ kind: "shadow", requestId, result: { data } });
      }
      case "ping":
        return this.#deps.send({
          kind: "ping",
          requestId,
          result: {
            data: {
              version: IPC_VERSION,
              rssBytes: this.#deps.rssBytes(),
              progress: this.#progress,
            },
          },
        });
    }
  }

  #loaded(): Active {
    if (this.#active === undefined)
      throw new Fault("pack_missing", "no pack is loaded yet", { retry: "later" });
    return this.#active;
  }

  #answerSnapshots(frame: Frame, picture: Picture, models: Models): void {
    const waiting = this.#snapshots.get(frame.cameraId);
    if (waiting === undefined) return;
    this.#snapshots.delete(frame.cameraId);
    const whole = picture.region({ x: 0, y: 0, width: picture.widthPx, height: picture.heightPx });
    const jpeg = Uint8Array.from(
      asBuffer(models.cv.imencode(".jpg", whole, [IMWRITE_JPEG_QUALITY, 85])),
    );
    for (const requestId of waiting)
      this.#deps.send({
        kind: "snapshot",
        requestId,
        result: { data: { jpeg, capturedAt: frame.capturedAt } },
      });
  }

  #fail(request: ModelRequest, thrown: unknown): void {
    const error = { code: codeOf(thrown).slice(0, 64), message: messageOf(thrown).slice(0, 1000) };
    this.#deps.send({ kind: request.kind, requestId: request.requestId, result: { error } });
  }
}

function add(counters: Float64Array, index: number, count: number): void {
  counters[index] = (counters[index] as number) + count;
}

function frameOf(cameraId: CameraId, slot: SlotFrame): Frame {
  return {
    cameraId,
    sequence: slot.sequence,
    capturedAt: {
      monotonicMs: monotonicMs(slot.capturedMonotonicMs),
      epochMs: epochMs(slot.capturedEpochMs),
    },
    widthPx: slot.widthPx,
    heightPx: slot.heightPx,
    layout: "nv12",
    pixels: slot.pixels,
  };
}
