/** Store, vision, camera and updates of one appliance in this process: what a pack is tried beside and replaced by. */
import assert from "node:assert/strict";
import type { Config } from "../../src/config/schema.ts";
import { openGallery, Serving } from "../../src/control/serving.ts";
import { type Updating, updatingOf } from "../../src/control/updating.ts";
import type { NewTemplate } from "../../src/gallery/record.ts";
import type { CameraId, SpaceId } from "../../src/lib/brand.ts";
import { MatchOptions } from "../../src/match/options.ts";
import { type ObserveMessage, VisionOptions } from "../../src/observation/messages.ts";
import { SelfTestOptions } from "../../src/release/self-test.ts";
import { ShadowOptions } from "../../src/release/shadow.ts";
import type { Store } from "../../src/store/store.ts";
import { createClock } from "../../src/system/clock.ts";
import { VisionProcess } from "../../src/vision/process.ts";
import { readPackOnDisk } from "../../src/vision/read-pack.ts";
import { idOf, person, StoreDirectory } from "../store/support.ts";
import { RecordingLog } from "./log.ts";
import { type NutSource, openNutSource } from "./nut-source.ts";
import { referencePack } from "./pack.ts";
import { THREE_PEOPLE, visitClip } from "./people.ts";
import { until } from "./tap.ts";

const CAMERA = "front" as CameraId;
const PATIENCE_MS = 60_000;
const NEVER = new AbortController().signal;
const clock = createClock();
const log = new RecordingLog();
export const vision = VisionOptions.parse({ providers: ["cpu"] });
export const shadow = ShadowOptions.parse({
  everyMs: 200,
  frameAgeMaxMs: 2000,
  framesMin: 8,
  comparedMin: 8,
  durationMinMs: 0,
  p95MaxMs: 60_000,
});

/** A store in which somebody is enrolled, a camera at which all three walk up, and what serves. */
export class UpdateRig implements AsyncDisposable {
  readonly observed: ObserveMessage[] = [];
  readonly directory = new StoreDirectory();
  readonly #stop = new AbortController();
  readonly #stack = new AsyncDisposableStack();
  store!: Store;
  process!: VisionProcess;
  serving!: Serving;
  updating!: Updating;
  leaving = 0;

  static async open(): Promise<UpdateRig> {
    const rig = new UpdateRig();
    await rig.#open();
    return rig;
  }

  get runtime() {
    return this.updating.runtime;
  }

  async enrol(id: string, still: Buffer, options: { readonly crop: boolean }): Promise<void> {
    const { faces, spaceId } = await this.process.analyseImage(still, { maxFaces: 1 });
    const { embedding: vector, sourceCrop } = faces[0] ?? {};
    assert.ok(vector !== undefined && sourceCrop !== undefined, `a face of ${id}`);
    this.add(id, { spaceId, vector, ...(options.crop ? { sourceCrop } : {}) });
  }

  add(id: string, template: NewTemplate): void {
    this.store.transact((tx) => {
      tx.putIdentity(person(id), clock.epochMs());
      tx.addTemplates(idOf(id), [template], clock.epochMs());
    });
  }

  templatesOf(space: SpaceId): ReadonlyMap<string, Float32Array> {
    const found = [...this.store.record.templates(space)];
    return new Map(found.map((one) => [`${one.identityId} ${one.id}`, one.vector]));
  }

  idsOf(space: SpaceId): readonly string[] {
    return [...new Set([...this.templatesOf(space).keys()].map((key) => key.split(" ")[0] ?? ""))];
  }

  async seen(space: SpaceId, more: number): Promise<void> {
    const count = (): number => this.observed.filter(({ spaceId }) => spaceId === space).length;
    const from = count();
    await until(() => count() >= from + more, `frames in ${space}`, PATIENCE_MS);
  }

  async #open(): Promise<void> {
    const stack = this.#stack;
    stack.defer(() => this.directory[Symbol.dispose]());
    this.store = stack.use(this.directory.open());
    const [clip, pack] = await Promise.all([
      visitClip(THREE_PEOPLE),
      readPackOnDisk(referencePack().directory),
    ]);
    this.process = stack.use(
      new VisionProcess(
        { packDirectory: pack.directory, vision },
        {
          clock,
          log,
          random: () => 0,
          listener: {
            onObserve: (message) => {
              this.observed.push(message);
              this.updating.probation.observed(message);
            },
            onHealth: () => undefined,
            onStreamHeader: () => undefined,
            onSample: (message) => this.runtime.onSample(message),
            onLost: () => undefined,
            onBack: () => undefined,
          },
        },
      ),
    );
    await this.process.start();
    const gallery = await openGallery(pack, { store: this.store, clock, log }, NEVER);
    const match = MatchOptions.parse({ cosineMin: 0.5 });
    this.serving = stack.use(new Serving({ pack, gallery }, () => match));
    const config = {
      match,
      vision,
      update: { selfTest: SelfTestOptions.parse({ p95MaxMs: 60_000 }), shadow, probation: {} },
    } as unknown as Config;
    this.updating = stack.use(
      updatingOf({
        config: () => config,
        clock,
        log,
        store: this.store,
        serving: this.serving,
        vision: this.process,
        onLeaving: () => {
          this.leaving += 1;
        },
        onServing: () => undefined,
      }),
    );
    const running = this.process.run(this.#stop.signal);
    stack.defer(() => running);
    stack.defer(() => this.#stop.abort());
    const source: NutSource = stack.use(
      await openNutSource(["-stream_loop", "-1", "-i", clip], "1280:720", 10),
    );
    this.process.attach(CAMERA, source.socket, undefined, { widthPx: 1280, heightPx: 720 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

/** Times between two frames where the space changes, ms. */
export function gapsOf(observed: readonly ObserveMessage[]): readonly number[] {
  return observed.slice(1).flatMap((message, index) => {
    const before = observed[index];
    return before === undefined || before.spaceId === message.spaceId
      ? []
      : [message.capturedAt.monotonicMs - before.capturedAt.monotonicMs];
  });
}

/** Between two frames of one space, the middle of the newest hundred, ms. */
export function usualMs(observed: readonly ObserveMessage[]): number {
  const newest = observed.slice(-100);
  const between = newest.slice(1).flatMap((message, index) => {
    const before = newest[index];
    return before?.spaceId === message.spaceId
      ? [message.capturedAt.monotonicMs - before.capturedAt.monotonicMs]
      : [];
  });
  return between.toSorted((a, b) => a - b)[between.length >> 1] ?? 0;
}
