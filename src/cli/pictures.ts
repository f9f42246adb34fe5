/** Pictures through a pack's models, in the CLI's own process. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CROP_SIZE_PX } from "../face/align.ts";
import type { Face } from "../face/face.ts";
import { codeOf } from "../lib/fault.ts";
import { THUMBNAIL_PX } from "../match/cross-pairs.ts";
import { VisionOptions } from "../observation/messages.ts";
import { Models } from "../vision/models.ts";
import { asBuffer, COLOR_BGR2GRAY, IMREAD_COLOR, INTER_AREA, type Mat } from "../vision/opencv.ts";
import { Progress, type Terminal } from "./terminal.ts";

/** @throws as `Models.open` */
export function openModels(
  directory: string,
  threads: number,
  options: Partial<VisionOptions> = {},
): Promise<Models> {
  return Models.open(directory, VisionOptions.parse({ ...options, threads }));
}

/**
 * The face that a labelled picture is about: its centre lies nearest to the picture's. Data sets such as
 * LFW centre the named person, and others may stand behind.
 */
export function centralFace(
  faces: readonly Face[],
  widthPx: number,
  heightPx: number,
): Face | undefined {
  const distance = ({ box }: Face): number =>
    Math.hypot(box.x + box.width / 2 - widthPx / 2, box.y + box.height / 2 - heightPx / 2);
  return faces.toSorted((a, b) => distance(a) - distance(b))[0];
}

export type Embedded =
  | {
      readonly kind: "vector";
      readonly vector: Float32Array;
      /** Of the aligned crop, for finding the same photograph under two names. */
      readonly thumbnail: Uint8Array;
    }
  /** A failure to acquire: a code that says why. */
  | { readonly kind: "failed"; readonly reason: string };

/** The unit vector of a labelled picture's central face. */
export function embedPicture(models: Models, file: string): Promise<Embedded> {
  return acquired(async () => {
    const picture = models.image(await readFile(file));
    const face = centralFace(await models.detect(picture), picture.widthPx, picture.heightPx);
    if (face === undefined) return { kind: "failed", reason: "no_face" };
    const again = await models.lookAgain(picture, face);
    if (again === undefined) return { kind: "failed", reason: "landmarks" };
    const aligned = models.align(picture, again.landmarks);
    return embedded(models, aligned?.crop);
  });
}

/** The unit vector of a crop that is aligned already, in any format that OpenCV reads. */
export function embedCrop(models: Models, file: string): Promise<Embedded> {
  return acquired(async () => {
    const crop = models.cv.imdecode(asBuffer(await readFile(file)), IMREAD_COLOR);
    if (crop.empty || crop.rows !== CROP_SIZE_PX || crop.cols !== CROP_SIZE_PX)
      return { kind: "failed", reason: "no_crop" };
    return embedded(models, crop);
  });
}

async function embedded(models: Models, crop: Mat | undefined): Promise<Embedded> {
  const vector = crop === undefined ? undefined : await models.embed(crop);
  if (crop === undefined || vector === undefined) return { kind: "failed", reason: "not_embedded" };
  const grey = crop.cvtColor(COLOR_BGR2GRAY);
  const small = grey.resize(THUMBNAIL_PX, THUMBNAIL_PX, 0, 0, INTER_AREA);
  return { kind: "vector", vector, thumbnail: small.getData() };
}

async function acquired(embed: () => Promise<Embedded>): Promise<Embedded> {
  try {
    return await embed();
  } catch (fault) {
    // A missing or broken picture is a failure to acquire; a broken model is ours.
    if (/^(ENOENT|image_)/.test(codeOf(fault))) return { kind: "failed", reason: codeOf(fault) };
    throw fault;
  }
}

/** Name/Name_0001.jpg, as LFW and its kin lay pictures out. */
export const pictureOf = (root: string, name: string, number: number): string =>
  join(root, name, `${name}_${String(number).padStart(4, "0")}.jpg`);

/** Embeds many files with a progress bar. @param embed {@link embedPicture} or {@link embedCrop}. @throws what `signal` says when it aborts */
export async function embedAll(
  models: Models,
  files: readonly string[],
  terminal: Terminal,
  signal: AbortSignal,
  embed: typeof embedPicture = embedPicture,
): Promise<ReadonlyMap<string, Embedded>> {
  const progress = new Progress(terminal, "embedding", files.length);
  const results = new Map<string, Embedded>();
  for (const file of files) {
    signal.throwIfAborted();
    results.set(file, await embed(models, file));
    progress.update(results.size);
  }
  return results;
}

/** Why pictures gave no embedding: reason → how many. */
export function failuresOf(results: Iterable<Embedded>): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const result of results)
    if (result.kind === "failed") counts[result.reason] = (counts[result.reason] ?? 0) + 1;
  return counts;
}
