/** What enrolment keeps of one accepted picture. */
import type { Embedding } from "../embedding/embedding.ts";
import type { Landmarks } from "../face/face.ts";

export interface EnrolledShot {
  readonly embedding: Embedding;
  /** Absent when the site forbids keeping crops. PNG. */
  readonly sourceCrop?: { readonly png: Uint8Array; readonly landmarks: Landmarks };
}
