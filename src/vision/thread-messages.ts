/** What the two threads of the vision process say to each other, beside the messages of main that they pass on. */
import type { CameraId } from "../lib/brand.ts";
import type { FromVision, ToVision } from "../observation/messages.ts";

/** Requests that the model thread answers. */
export type ModelRequest = Extract<ToVision, { readonly requestId: number }>;

export type ToModelThread =
  | ModelRequest
  | Extract<ToVision, { readonly kind: "collect" | "look" | "sample" }>
  | {
      readonly kind: "camera";
      readonly cameraId: CameraId;
      readonly memory: SharedArrayBuffer;
      readonly counters: SharedArrayBuffer;
    }
  | { readonly kind: "gone"; readonly cameraId: CameraId }
  /** Frames wait. Sent once until the thread looks: see `wakeFlag`. */
  | { readonly kind: "wake" };

export type FromModelThread = Exclude<
  FromVision,
  { readonly kind: "camera-health" | "stream-header" }
>;

export interface ModelThreadData {
  /** One Int32: 1 while a `wake` is on its way. */
  readonly wakeFlag: SharedArrayBuffer;
  /** Random, so that track ids are never used twice. */
  readonly trackPrefix: string;
}
