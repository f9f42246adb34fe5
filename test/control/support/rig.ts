/** A store in memory and a vision that sees what it is told to, for commands without SQLite or models. */

import { ControlOptions } from "../../../src/config/control-options.ts";
import type { CollectedFrame, CommandDeps, VisionPort } from "../../../src/control/deps.ts";
import { Dispatcher } from "../../../src/control/dispatcher.ts";
import { EnrolmentSessions } from "../../../src/control/enrolment-sessions.ts";
import type { AccessRules } from "../../../src/decision/rules.ts";
import { EnrolmentOptions } from "../../../src/enrolment/options.ts";
import type { Identity } from "../../../src/gallery/identity.ts";
import type { CommandInbox } from "../../../src/gallery/inbox.ts";
import type { Gallery } from "../../../src/gallery/index-port.ts";
import type {
  RecordReader,
  RecordTransaction,
  StoredTemplate,
} from "../../../src/gallery/record.ts";
import {
  type CameraId,
  cosine,
  epochMs,
  type IdentityId,
  type SpaceId,
  type TemplateId,
  type TrackId,
} from "../../../src/lib/brand.ts";
import type { Clock } from "../../../src/lib/clock.ts";
import type { Answer } from "../../../src/lib/envelope.ts";
import { cosineOf } from "../../../src/lib/vector.ts";
import {
  type AnalysedFace,
  type ImageAnalysis,
  VisionOptions,
} from "../../../src/observation/messages.ts";
import { SimulatedClock } from "../../support/clock.ts";
import { RecordingLog } from "../../support/log.ts";

export const SPACE = "space-1" as SpaceId;
export const FRONT = "front" as CameraId;

export interface MemoryEvent {
  readonly seq: number;
  readonly type: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export class MemoryStore implements CommandInbox, RecordReader {
  identities = new Map<IdentityId, Identity>();
  stored: StoredTemplate[] = [];
  events: MemoryEvent[] = [];
  readonly #answers = new Map<string, Answer>();
  readonly #numbers = new Map<string, number>();

  readonly answered: CommandInbox["answered"] = (kid, id) => this.#answers.get(`${kid} ${id}`);

  readonly commitCommand: CommandInbox["commitCommand"] = (stamp, effect) => {
    const known = this.answered(stamp.kid, stamp.id);
    if (known !== undefined) return { kind: "repeated", answer: known };
    const stream = `${stamp.kid} ${stamp.stream}`;
    if (stamp.seq <= (this.#numbers.get(stream) ?? -1)) return { kind: "replayed" };
    const answer = this.#transact(effect);
    this.#numbers.set(stream, stamp.seq);
    this.#answers.set(`${stamp.kid} ${stamp.id}`, answer);
    return { kind: "done", answer };
  };

  readonly finishCommand: CommandInbox["finishCommand"] = (kid, id, _at, effect) => {
    const answer = this.#transact(effect);
    this.#answers.set(`${kid} ${id}`, answer);
    return answer;
  };

  readonly identity: RecordReader["identity"] = (id) => this.identities.get(id);
  readonly listIdentities: RecordReader["listIdentities"] = (after, limit) =>
    [...this.identities.values()]
      .filter((each) => after === undefined || each.id > after)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit);
  readonly templateCount: RecordReader["templateCount"] = (id, spaceId) =>
    this.stored.filter((each) => each.identityId === id && each.spaceId === spaceId).length;
  readonly templates: RecordReader["templates"] = (spaceId) =>
    this.stored.filter((each) => each.spaceId === spaceId);
  readonly counts: RecordReader["counts"] = () => ({
    identities: this.identities.size,
    templates: this.stored.length,
  });

  gallery(): Gallery {
    const store = this;
    return {
      spaceId: SPACE,
      dimension: 16,
      get identityCount() {
        return store.identities.size;
      },
      get templateCount() {
        return store.stored.length;
      },
      search: async (vector, k) =>
        store.stored
          .map(({ identityId, id, vector: other }) => ({
            identityId,
            templateId: id,
            cosine: cosine(cosineOf(vector, other)),
          }))
          .sort((a, b) => b.cosine - a.cosine)
          .slice(0, k),
    };
  }

  #transact(effect: (tx: RecordTransaction) => Answer): Answer {
    const before = {
      identities: new Map(this.identities),
      stored: [...this.stored],
      events: [...this.events],
    };
    try {
      return effect(this.#transaction());
    } catch (thrown) {
      Object.assign(this, before);
      throw thrown;
    }
  }

  #transaction(): RecordTransaction {
    return {
      identity: this.identity,
      putIdentity: (fields, at) => {
        const old = this.identities.get(fields.id);
        const { validFrom, validUntil, ...rest } = fields;
        const identity: Identity = {
          ...rest,
          ...(validFrom === undefined ? {} : { validFrom }),
          ...(validUntil === undefined ? {} : { validUntil }),
          createdAt: old?.createdAt ?? at,
          updatedAt: at,
        };
        this.identities.set(fields.id, identity);
        return identity;
      },
      setEnabled: (id, enabled, at) => {
        const old = this.identities.get(id);
        if (old === undefined) return undefined;
        const identity = { ...old, enabled, updatedAt: at };
        this.identities.set(id, identity);
        return identity;
      },
      addTemplates: (id, templates) => {
        if (!this.identities.has(id)) return undefined;
        const added = templates.map(({ spaceId, vector }, index) => ({
          id: `t${this.stored.length + index}` as TemplateId,
          identityId: id,
          spaceId,
          vector,
        }));
        this.stored.push(...added);
        return added;
      },
      eraseIdentity: (id) => {
        this.stored = this.stored.filter((each) => each.identityId !== id);
        return this.identities.delete(id);
      },
      appendEvent: (type, body) => {
        const seq = this.events.length + 1;
        this.events.push({ seq, type, body });
        return seq;
      },
    };
  }
}

/** One-hot unit vectors are as unlike as can be; equal numbers are the same face. */
export function vectorOf(person: number): Float32Array<ArrayBuffer> {
  const vector = new Float32Array(16);
  vector[person % 16] = 1;
  return vector;
}

const measures = {
  eyeDistancePx: 60,
  sizePx: 120,
  sharpness: 200,
  brightness: 120,
  yaw: 0,
  pitch: 0,
  rollDegrees: 0,
  insideShare: 1,
};
const at = (x: number, y: number) => ({ x, y });
const landmarks: AnalysedFace["face"]["landmarks"] = [
  at(30, 40),
  at(70, 40),
  at(50, 60),
  at(35, 80),
  at(65, 80),
];

export function faceOf(
  person: number,
  reasons: AnalysedFace["quality"]["reasons"] = [],
): AnalysedFace {
  return {
    face: { box: { x: 10, y: 10, width: 100, height: 120 }, landmarks, score: 0.95 },
    quality: { measures, reasons },
    embedding: vectorOf(person),
    sourceCrop: { png: new Uint8Array([137, 80]), landmarks },
  };
}

export function analysisOf(...faces: AnalysedFace[]): ImageAnalysis {
  return { widthPx: 640, heightPx: 480, spaceId: SPACE, faces };
}

export function frameOf(at: number, ...faces: readonly AnalysedFace[]): CollectedFrame {
  return {
    capturedAtMs: at,
    spaceId: SPACE,
    observations: faces.map((face) => ({ ...face, trackId: "t1" as TrackId })),
  };
}

/** A PNG header of that size: enough for the header check; the fake vision never decodes. */
export function pngBase64(widthPx = 640, heightPx = 480, tag = 0): string {
  const bytes = Buffer.alloc(33);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  bytes.writeUInt32BE(widthPx, 16);
  bytes.writeUInt32BE(heightPx, 20);
  bytes.writeUInt32BE(tag, 24);
  return bytes.toString("base64");
}

export class FakeVision implements VisionPort {
  analysis: (image: Uint8Array, signal: AbortSignal) => Promise<ImageAnalysis> = async () =>
    analysisOf(faceOf(1));
  collecting: ((frame: CollectedFrame) => void) | undefined;
  readonly analyseImage: VisionPort["analyseImage"] = (image, _max, signal) =>
    this.analysis(image, signal);
  readonly snapshot: VisionPort["snapshot"] = async () => ({
    jpeg: new Uint8Array([1, 2, 3]),
    capturedAt: { epochMs: epochMs(0) },
  });
  readonly collect: VisionPort["collect"] = (_cameraId, onFrame) => {
    this.collecting = onFrame;
    return () => {
      this.collecting = undefined;
    };
  };
}

const RULES: AccessRules = { groups: ["staff"], schedules: {}, doors: [] };

export function rig(
  options: Partial<ControlOptions> = {},
  clock: Clock & { readonly advance?: SimulatedClock["advance"] } = new SimulatedClock(),
) {
  const store = new MemoryStore();
  const vision = new FakeVision();
  const log = new RecordingLog();
  const handled: string[] = [];
  const commands: CommandDeps = {
    clock,
    options: { ...ControlOptions.parse({}), ...options },
    enrolment: () => EnrolmentOptions.parse({ timeoutMs: 10_000 }),
    enrolmentLimits: () => VisionOptions.parse({}).enrolment,
    threshold: () => ({ kind: "threshold", cosine: cosine(0.5), source: "floor" }),
    sessions: new EnrolmentSessions(),
    reader: store,
    gallery: () => store.gallery(),
    vision,
    rules: () => RULES,
    cameraIds: () => [FRONT],
    startReplay: (fromSeq) =>
      fromSeq > store.events.length
        ? { kind: "empty" }
        : { kind: "started", first: fromSeq, last: store.events.length },
    status: () => ({ version: "0.1.0" }),
  };
  const dispatcher = new Dispatcher({
    clock,
    log,
    inbox: store,
    commands,
    newStream: () => "stream-0001",
    onHandled: (name, code) => handled.push(`${name} ${code}`),
  });
  let count = 0;
  const open = (
    name: string,
    args: unknown,
    over: { readonly id?: string; readonly seq?: number } = {},
  ) => {
    count += 1;
    const answers: Answer[] = [];
    const request = {
      id: over.id ?? `command-${count}`,
      kid: "0123456789abcdef",
      stream: "stream-aaaa",
      seq: over.seq ?? count,
      name,
      args,
      source: "mqtt",
    } as const;
    const ended = dispatcher.submit(request, (answer) => answers.push(answer));
    return { answers, ended, id: request.id };
  };
  const ask = async (...given: Parameters<typeof open>): Promise<Answer> => {
    const { answers, ended } = open(...given);
    await ended;
    return answers.at(-1) as Answer;
  };
  return { store, vision, log, clock, dispatcher, handled, open, ask, commands };
}

export const codeOfAnswer = (answer: Answer | undefined): string =>
  answer === undefined ? "none" : answer.ok ? "ok" : answer.error.code;
