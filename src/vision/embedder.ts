/** The pack's embedder: aligned crop → unit vector. */

import { writeNchw } from "../embedding/input.ts";
import type { EmbedderSpec } from "../embedding/pack.ts";
import { CROP_SIZE_PX } from "../face/align.ts";
import { Fault } from "../lib/fault.ts";
import { normalised } from "../lib/vector.ts";
import type { Provider } from "../observation/messages.ts";
import { discard } from "./discard.ts";
import { INTER_LINEAR, type Mat } from "./opencv.ts";
import { type loadRuntime, ModelSession } from "./session.ts";

type Spec = Omit<EmbedderSpec, "file">;

export interface Embedder {
  readonly dimension: number;
  /** @param crop aligned, {@link CROP_SIZE_PX} square, BGR; @returns a new unit vector, undefined when the model gave none */
  readonly embed: (crop: Mat) => Promise<Float32Array<ArrayBuffer> | undefined>;
  readonly release: () => Promise<void>;
}

export async function openEmbedder(
  runtime: ReturnType<typeof loadRuntime>,
  model: Uint8Array,
  spec: Spec,
  provider: Provider,
  threads: number,
): Promise<Embedder> {
  const { widthPx, heightPx } = spec.preprocessing;
  const session = await ModelSession.open(
    runtime,
    { model, inputName: spec.input, inputShape: [1, 3, heightPx, widthPx], provider, threads },
    [spec.output],
  );
  return {
    dimension: spec.dimension,
    embed: async (crop) => {
      const sized =
        widthPx === CROP_SIZE_PX && heightPx === CROP_SIZE_PX
          ? crop
          : crop.resize(heightPx, widthPx, 0, 0, INTER_LINEAR);
      const bytes = sized.getData();
      writeNchw(bytes, widthPx, heightPx, session.input, widthPx, spec.preprocessing);
      discard(bytes);
      if (sized !== crop) sized.release();
      return session.run((output) => {
        const raw = output(spec.output);
        if (raw.length === spec.dimension) return normalised(raw);
        throw new Fault(
          "model_mismatch",
          `the embedder gives ${raw.length} values instead of ${spec.dimension}`,
        );
      });
    },
    release: () => session.release(),
  };
}
