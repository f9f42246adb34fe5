/** Builders for enrolment tests. */
import { EnrolmentOptions } from "../../src/enrolment/options.ts";
import type { FaceShot, ShotContext } from "../../src/enrolment/shot.ts";
import type { Candidate } from "../../src/gallery/index-port.ts";
import type { Cosine, IdentityId, TemplateId } from "../../src/lib/brand.ts";
import { VisionOptions } from "../../src/observation/messages.ts";
import { ANNA, GOOD, SPACE, unit } from "./decision.ts";

export const enrolmentOptions = EnrolmentOptions.parse({});

export const context: ShotContext = {
  identityId: ANNA,
  spaceId: SPACE,
  limits: VisionOptions.parse({}).enrolment,
  threshold: { kind: "threshold", cosine: 0.5 as Cosine, source: "table" },
  allowDuplicate: false,
  options: enrolmentOptions,
};

const point = { x: 1, y: 1 };
export const CROP = {
  png: new Uint8Array([137, 80]),
  landmarks: [point, point, point, point, point],
} satisfies FaceShot["sourceCrop"];

export const near = (identityId: IdentityId, cosine: number): Candidate => ({
  identityId,
  templateId: "t1" as TemplateId,
  cosine: cosine as Cosine,
});

export function shot(fields: Partial<FaceShot> = {}): FaceShot {
  return {
    quality: { measures: GOOD, reasons: [] },
    embedding: unit(1),
    sourceCrop: CROP,
    candidates: [],
    ...fields,
  };
}
