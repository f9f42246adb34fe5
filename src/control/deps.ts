/** What commands need of the rest, as ports: `app.ts` fills them. */

import type { ControlOptions } from "../config/control-options.ts";
import type { AccessRules } from "../decision/rules.ts";
import type { EnrolmentOptions } from "../enrolment/options.ts";
import type { QualityLimits } from "../face/quality.ts";
import type { CommandInbox } from "../gallery/inbox.ts";
import type { Gallery } from "../gallery/index-port.ts";
import type { RecordReader } from "../gallery/record.ts";
import type { CameraId, EpochMs } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import type { Log } from "../lib/log.ts";
import type { Threshold } from "../match/threshold.ts";
import type { ImageAnalysis, Observation } from "../observation/messages.ts";
import type { Updater } from "../update/updater.ts";
import type { OtherSpace } from "./candidate.ts";
import type { EnrolmentSessions } from "./enrolment-sessions.ts";

/** Frames of a camera while an enrolment collects: observations then carry embedding and source crop. */
export interface CollectedFrame {
  readonly capturedAtMs: number;
  readonly spaceId: ImageAnalysis["spaceId"];
  readonly observations: readonly Observation[];
}

export interface VisionPort {
  /** @throws Fault when vision is away (`retry: "later"`), the image is none, or `signal` aborts */
  readonly analyseImage: (
    image: Uint8Array,
    maxFaces: number,
    signal: AbortSignal,
  ) => Promise<ImageAnalysis>;
  /** JPEG of the newest frame. */
  readonly snapshot: (
    cameraId: CameraId,
    signal: AbortSignal,
  ) => Promise<{ readonly jpeg: Uint8Array; readonly capturedAt: { readonly epochMs: EpochMs } }>;
  /**
   * Asks vision to collect at that camera and delivers every frame that it looked at, also empty ones, until
   * the returned function is called.
   */
  readonly collect: (cameraId: CameraId, onFrame: (frame: CollectedFrame) => void) => () => void;
}

export type UpdatesPort = Pick<Updater, "status" | "check" | "apply" | "abort" | "rollBack">;

export type ReplayStart =
  | { readonly kind: "started"; readonly first: number; readonly last: number }
  | { readonly kind: "empty" }
  | { readonly kind: "busy" };

/** A JSON object for `device/status`: states and numbers, no secrets, no names. */
export type StatusReport = Readonly<Record<string, unknown>>;

export interface CommandDeps {
  readonly clock: Clock;
  readonly options: ControlOptions;
  readonly reader: RecordReader;
  /** The gallery of the active space; undefined until the first index generation serves. */
  readonly gallery: () => Gallery | undefined;
  readonly vision: VisionPort;
  readonly rules: () => AccessRules;
  readonly cameraIds: () => readonly CameraId[];
  /** Starts sending kept events again on the reliable feed. */
  readonly startReplay: (fromSeq: number, limit: number) => ReplayStart;
  readonly status: () => StatusReport;
  /** In force for the active gallery. */
  readonly threshold: () => Threshold;
  readonly enrolment: () => EnrolmentOptions;
  /** The configuration's `vision.enrolment`. */
  readonly enrolmentLimits: () => QualityLimits;
  readonly sessions: EnrolmentSessions;
  /** Where enrolments are kept too: the space of a candidate pack that is being tried. */
  readonly otherSpace?: () => OtherSpace | undefined;
  /** Absent: this device takes no updates. */
  readonly updates?: UpdatesPort | undefined;
}

export interface DispatcherDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly inbox: CommandInbox;
  readonly commands: CommandDeps;
  /** Random text of 8 to 64 of A-Z a-z 0-9 _ -, for the stream of local commands. */
  readonly newStream: () => string;
  /** `code` is `ok` or the error's. */
  readonly onHandled?: (
    command: string,
    code: string,
    source: "mqtt" | "socket",
    ms: number,
  ) => void;
}
