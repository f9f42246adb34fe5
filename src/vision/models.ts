/** A pack, opened: verified files, one provider for all models, golden vectors passed. */
import type { Pack } from "../embedding/pack.ts";
import type { Face } from "../face/face.ts";
import { measure, reasonsAgainst } from "../face/quality.ts";
import { isPlausible } from "../face/sanity.ts";
import { Fault } from "../lib/fault.ts";
import type {
  ImageAnalysis,
  PackLoaded,
  SourceCrop,
  VisionOptions,
} from "../observation/messages.ts";
import { type Aligned, alignFace, sourceCropOf } from "./crop.ts";
import { type Detector, openDetector } from "./detector.ts";
import { type Embedder, openEmbedder } from "./embedder.ts";
import { checkGolden, type GoldenRuns, runGolden } from "./golden.ts";
import { decodeImage } from "./image.ts";
import { loadOpenCv, type Mat, type OpenCv } from "./opencv.ts";
import { bgrPicture, nv12Picture, type Picture } from "./picture.ts";
import { readPack, readPackFile } from "./read-pack.ts";
import { chooseProvider, loadRuntime, threadsFor } from "./session.ts";

/** As many as a message holds. */
export const FACES_MAX = 64;

/** All models of one pack in the calling thread, which must be the only one of the process that uses OpenCV. */
export class Models implements AsyncDisposable {
  readonly pack: Pack;
  readonly loaded: PackLoaded;
  readonly cv: OpenCv;
  readonly #options: VisionOptions;
  readonly #detector: Detector;
  readonly #embedder: Embedder;

  private constructor(
    pack: Pack,
    loaded: PackLoaded,
    cv: OpenCv,
    options: VisionOptions,
    detector: Detector,
    embedder: Embedder,
  ) {
    this.pack = pack;
    this.loaded = loaded;
    this.cv = cv;
    this.#options = options;
    this.#detector = detector;
    this.#embedder = embedder;
  }

  /**
   * @param directory holds `pack.json` and the files that it names
   * @throws Fault `pack_missing`, `pack_invalid`, `pack_corrupt`, `golden_mismatch`, `model_mismatch`, `provider_unavailable`
   */
  static async open(directory: string, options: VisionOptions): Promise<Models> {
    const pack = await readPack(directory);
    const detectorBytes = await readPackFile(directory, pack, pack.detector.file);
    const embedderBytes = await readPackFile(directory, pack, pack.embedder.file);
    const threads = threadsFor(options.threads);
    const cv = loadOpenCv(threads);
    const runtime = loadRuntime();
    const choice = await chooseProvider(
      options.providers,
      options.requireProvider,
      async (provider) => {
        const embedder = await openEmbedder(
          runtime,
          embedderBytes,
          pack.embedder,
          provider,
          threads,
        );
        await checkGolden(cv, embedder, pack.golden, provider);
        const detector = await openDetector(runtime, {
          model: detectorBytes,
          spec: pack.detector,
          sizePx: options.detectorSizePx,
          provider,
          threads,
        });
        return { embedder, detector };
      },
    );
    const loaded = {
      packId: pack.id,
      spaceId: pack.embedder.spaceId,
      provider: choice.provider,
      refused: [...choice.refused],
    };
    return new Models(pack, loaded, cv, options, choice.value.detector, choice.value.embedder);
  }

  nv12(pixels: Uint8Array, widthPx: number, heightPx: number): Picture {
    return nv12Picture(this.cv, pixels, widthPx, heightPx);
  }

  /** JPEG or PNG. @throws Fault `image_unsupported`, `image_too_large`, `image_corrupt` */
  image(bytes: Uint8Array): Picture {
    return bgrPicture(this.cv, decodeImage(this.cv, bytes));
  }

  /** Faces that are geometrically possible, best first; for frames of a camera. */
  async detect(picture: Picture): Promise<readonly Face[]> {
    return (await this.#detector.detect(picture, FACES_MAX, "fitted")).filter(isPlausible);
  }

  /** The face with the landmarks to align it by, as {@link Detector.lookAgain}. */
  lookAgain(picture: Picture, face: Face): Promise<Face | undefined> {
    return this.#detector.lookAgain(picture, face);
  }

  align(picture: Picture, landmarks: Face["landmarks"]): Aligned | undefined {
    return alignFace(this.cv, picture, landmarks);
  }

  /** @returns a new unit vector, undefined when the model gave no finite one */
  embed(crop: Mat): Promise<Float32Array<ArrayBuffer> | undefined> {
    return this.#embedder.embed(crop);
  }

  sourceCrop(picture: Picture, face: Face): SourceCrop | undefined {
    return sourceCropOf(this.cv, picture, face);
  }

  /** Every face with quality by the enrolment limits, embedding and source crop, also those that are not usable. */
  async analyse(bytes: Uint8Array, maxFaces: number): Promise<ImageAnalysis> {
    const picture = this.image(bytes);
    const found = await this.#detector.detect(picture, Math.min(maxFaces, FACES_MAX), "square");
    const faces: ImageAnalysis["faces"] = [];
    for (const first of found) {
      const again = await this.lookAgain(picture, first);
      const face = again ?? first;
      const aligned = this.align(picture, face.landmarks);
      if (aligned === undefined) continue;
      const measures = measure(face, aligned.statistics, picture.widthPx, picture.heightPx);
      const isSure = again !== undefined && isPlausible(face);
      const embedding = await this.embed(aligned.crop);
      const sourceCrop = this.sourceCrop(picture, face);
      faces.push({
        face: { ...face, landmarks: [...face.landmarks] },
        quality: {
          measures,
          reasons: [...reasonsAgainst(measures, this.#options.enrolment, isSure)],
        },
        ...(embedding === undefined ? {} : { embedding }),
        ...(sourceCrop === undefined ? {} : { sourceCrop }),
      });
    }
    return {
      widthPx: picture.widthPx,
      heightPx: picture.heightPx,
      spaceId: this.pack.embedder.spaceId,
      faces,
    };
  }

  /** @throws Fault `crop_unusable` when a crop cannot be aligned, and as {@link image} */
  async embedCrops(crops: readonly SourceCrop[]): Promise<readonly Float32Array<ArrayBuffer>[]> {
    const embeddings: Float32Array<ArrayBuffer>[] = [];
    for (const [index, crop] of crops.entries()) {
      const aligned = this.align(this.image(crop.png), crop.landmarks);
      const embedding = aligned === undefined ? undefined : await this.embed(aligned.crop);
      if (embedding === undefined)
        throw new Fault(
          "crop_unusable",
          `source crop ${index} cannot be aligned and embedded; enrol again`,
        );
      embeddings.push(embedding);
    }
    return embeddings;
  }

  /** The golden vectors again. @param runs of each */
  selfTest(runs: number, nowMs: () => number): Promise<GoldenRuns> {
    return runGolden(this.cv, this.#embedder, this.pack.golden, runs, nowMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#detector.release();
    await this.#embedder.release();
  }
}
