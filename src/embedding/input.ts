/** Pixels → a model's input tensor. */

export interface InputPreprocessing {
  readonly channelOrder: "rgb" | "bgr";
  /** Per channel in the model's order. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/**
 * Writes BGR pixels (HWC, uint8) into the top left corner of an NCHW float32 tensor of one picture as
 * (x − mean) / std. What lies right of and below the picture is not touched.
 *
 * @param into `3 × intoWidthPx × intoHeightPx` long, reused between frames
 */
export function writeNchw(
  bgr: Uint8Array,
  widthPx: number,
  heightPx: number,
  into: Float32Array,
  intoWidthPx: number,
  preprocessing: InputPreprocessing,
): void {
  const plane = into.length / 3;
  const [first, third] = preprocessing.channelOrder === "bgr" ? [0, 2] : [2, 0];
  const [m0, m1, m2] = preprocessing.mean;
  const [s0, s1, s2] = preprocessing.std.map((std) => 1 / std) as [number, number, number];
  const p0 = into.subarray(0, plane);
  const p1 = into.subarray(plane, 2 * plane);
  const p2 = into.subarray(2 * plane);
  let from = 0;
  for (let row = 0; row < heightPx; row += 1) {
    const end = row * intoWidthPx + widthPx;
    for (let to = row * intoWidthPx; to < end; to += 1) {
      p0[to] = ((bgr[from + first] as number) - m0) * s0;
      p1[to] = ((bgr[from + 1] as number) - m1) * s1;
      p2[to] = ((bgr[from + third] as number) - m2) * s2;
      from += 3;
    }
  }
}

/**
 * As {@link writeNchw}, from three planes. Without mean and scale the engine's own conversion does the work,
 * several times faster than a loop: that is every frame's way into a detector that takes raw values.
 *
 * @param bgr blue, green and red plane, `widthPx × heightPx` each
 */
export function writePlanes(
  bgr: readonly Uint8Array[],
  widthPx: number,
  heightPx: number,
  into: Float32Array,
  intoWidthPx: number,
  preprocessing: InputPreprocessing,
): void {
  const size = into.length / 3;
  const order = preprocessing.channelOrder === "bgr" ? [0, 1, 2] : [2, 1, 0];
  for (const [channel, from] of order.entries()) {
    const plane = bgr[from] as Uint8Array;
    const target = into.subarray(channel * size, (channel + 1) * size);
    const [mean, std] = [
      preprocessing.mean[channel] as number,
      preprocessing.std[channel] as number,
    ];
    if (widthPx === intoWidthPx) target.set(plane.subarray(0, widthPx * heightPx));
    else
      for (let row = 0; row < heightPx; row += 1)
        target.set(plane.subarray(row * widthPx, (row + 1) * widthPx), row * intoWidthPx);
    if (mean === 0 && std === 1) continue;
    for (let row = 0; row < heightPx; row += 1) {
      const end = row * intoWidthPx + widthPx;
      for (let at = row * intoWidthPx; at < end; at += 1)
        target[at] = ((target[at] as number) - mean) / std;
    }
  }
}

/** Fills a tensor with what a black picture gives, so that padding looks black to the model. */
export function fillBlack(into: Float32Array, preprocessing: InputPreprocessing): void {
  const plane = into.length / 3;
  for (let channel = 0; channel < 3; channel += 1) {
    const black = -(preprocessing.mean[channel] as number) / (preprocessing.std[channel] as number);
    into.fill(black, channel * plane, (channel + 1) * plane);
  }
}
