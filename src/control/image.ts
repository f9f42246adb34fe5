/** Is this text a picture that may be handed to a decoder? Decided from the header, before any decoder runs. */

export type ImageCheck =
  | {
      readonly kind: "image";
      readonly format: "jpeg" | "png";
      readonly bytes: Uint8Array;
      readonly widthPx: number;
      readonly heightPx: number;
    }
  | {
      readonly kind: "refused";
      readonly code: "unsupported_image" | "image_too_large";
      readonly message: string;
    };

export interface ImageLimits {
  readonly imageMaxBytes: number;
  readonly imageMaxPixels: number;
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** @param base64 RFC 4648 §4, padded */
export function checkImage(base64: string, limits: ImageLimits): ImageCheck {
  if (base64.length > Math.ceil(limits.imageMaxBytes / 3) * 4) {
    return tooLarge(
      `the picture is larger than ${limits.imageMaxBytes} bytes: send a smaller one, the face alone is enough`,
    );
  }
  const bytes = new Uint8Array(Buffer.from(base64, "base64"));
  const size = bytes.length === 0 ? undefined : sizeOf(bytes);
  if (size === undefined) {
    return {
      kind: "refused",
      code: "unsupported_image",
      message: "image must be a JPEG or PNG file in base64",
    };
  }
  if (
    size.widthPx < 1 ||
    size.heightPx < 1 ||
    size.widthPx * size.heightPx > limits.imageMaxPixels
  ) {
    return tooLarge(
      `the picture is ${size.widthPx}×${size.heightPx}: at most ${limits.imageMaxPixels} pixels are decoded`,
    );
  }
  return { kind: "image", bytes, ...size };
}

function tooLarge(message: string): ImageCheck {
  return { kind: "refused", code: "image_too_large", message };
}

interface Size {
  readonly format: "jpeg" | "png";
  readonly widthPx: number;
  readonly heightPx: number;
}

function sizeOf(bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 24 && PNG_SIGNATURE.every((value, index) => bytes[index] === value)) {
    return { format: "png", widthPx: view.getUint32(16), heightPx: view.getUint32(20) };
  }
  return jpegSize(view);
}

/** Walks the markers up to the frame header (ITU-T T.81 B.2.2). */
function jpegSize(view: DataView): Size | undefined {
  if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return undefined;
  let at = 2;
  while (at + 9 <= view.byteLength) {
    if (view.getUint8(at) !== 0xff) return undefined;
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    if (isFrameHeader(marker)) {
      return { format: "jpeg", heightPx: view.getUint16(at + 5), widthPx: view.getUint16(at + 7) };
    }
    const isBare = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7);
    at += isBare ? 2 : 2 + view.getUint16(at + 2);
  }
  return undefined;
}

function isFrameHeader(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}
