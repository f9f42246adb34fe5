/** Galleries of made-up people: clustered unit vectors, the same ones every time. */

import type { StoredTemplate } from "../../src/gallery/record.ts";
import type { IdentityId, SpaceId, TemplateId } from "../../src/lib/brand.ts";

export const DIMENSION = 256;
export const TEMPLATES_PER_IDENTITY = 5;
/** Cosine of a template with its person's centre: two templates of one person then differ as real ones do. */
const TO_CENTRE = 0.85;
/** Of a poor picture: about 0.5 alike to its person's best template, where thresholds lie. */
const POOR_TO_CENTRE = 0.6;

export interface People {
  /** Row by row. */
  readonly templates: Float32Array;
  readonly count: number;
  readonly template: (row: number) => Float32Array;
  /** A new picture of somebody enrolled. */
  readonly probe: () => Float32Array;
  /** A poor one. */
  readonly poorProbe: () => Float32Array;
  /** Somebody who is not. */
  readonly stranger: () => Float32Array;
}

/** @param count a multiple of {@link TEMPLATES_PER_IDENTITY} */
export function people(count: number, seed = 1): People {
  const gauss = gaussFrom(seed);
  const centres = new Float32Array((count / TEMPLATES_PER_IDENTITY) * DIMENSION);
  const templates = new Float32Array(count * DIMENSION);
  const centre = (person: number): Float32Array =>
    centres.subarray(person * DIMENSION, (person + 1) * DIMENSION);
  for (let person = 0; person * DIMENSION < centres.length; person += 1) {
    centre(person).set(unit(gauss));
    for (let index = 0; index < TEMPLATES_PER_IDENTITY; index += 1) {
      const row = person * TEMPLATES_PER_IDENTITY + index;
      templates.set(near(centre(person), gauss), row * DIMENSION);
    }
  }
  const people = centres.length / DIMENSION;
  let asked = 0;
  const somebody = (): Float32Array => {
    // Far apart in the gallery from one to the next: 7919 is prime.
    asked = (asked + 7919) % people;
    return centre(asked);
  };
  return {
    templates,
    count,
    template: (row) => templates.slice(row * DIMENSION, (row + 1) * DIMENSION),
    probe: () => near(somebody(), gauss),
    poorProbe: () => near(somebody(), gauss, POOR_TO_CENTRE),
    stranger: () => unit(gauss),
  };
}

export function* stored(made: People, spaceId: SpaceId): Generator<StoredTemplate> {
  for (let row = 0; row < made.count; row += 1) {
    const identityId = identityOf(row);
    yield { id: `t${row}` as TemplateId, identityId, spaceId, vector: made.template(row) };
  }
}

export const identityOf = (row: number): IdentityId =>
  `p${String(Math.floor(row / TEMPLATES_PER_IDENTITY)).padStart(6, "0")}` as IdentityId;

function near(centre: Float32Array, gauss: () => number, toCentre = TO_CENTRE): Float32Array {
  const noise = unit(gauss);
  const aside = Math.sqrt(1 - toCentre ** 2);
  return normalised(
    noise.map((value, index) => toCentre * (centre[index] as number) + aside * value),
  );
}

const unit = (gauss: () => number): Float32Array =>
  normalised(Float32Array.from({ length: DIMENSION }, gauss));

function normalised(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / length);
}

/** Box and Muller over a 32-bit generator (mulberry32). */
function gaussFrom(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
