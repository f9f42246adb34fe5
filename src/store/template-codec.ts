/**
 * The clear form of what is sealed per identity: its templates of one space, its profile, its crops.
 *
 * Templates, version 1, little endian: version u8 · reserved u8 · dimension u16 · count u16 · reserved u16, then
 * per template id length u8 · id · created f64, then all vectors, float32, in the same order.
 */
import type { EpochMs, TemplateId } from "../lib/brand.ts";
import { Fault } from "../lib/fault.ts";

export interface PackedTemplate {
  readonly id: TemplateId;
  readonly vector: Float32Array;
  readonly createdAt: EpochMs;
}

const VERSION = 1;
const HEADER_BYTES = 8;

export function packTemplates(templates: readonly PackedTemplate[], dimension: number): Buffer {
  const ids = templates.map((template) => Buffer.from(template.id, "utf8"));
  const idBytes = ids.reduce((sum, id) => sum + 9 + id.length, 0);
  const out = Buffer.alloc(HEADER_BYTES + idBytes + templates.length * dimension * 4);
  out.writeUInt8(VERSION, 0);
  out.writeUInt16LE(dimension, 2);
  out.writeUInt16LE(templates.length, 4);
  let at = HEADER_BYTES;
  templates.forEach((template, index) => {
    const id = ids[index] as Buffer;
    at = out.writeUInt8(id.length, at);
    at += id.copy(out, at);
    at = out.writeDoubleLE(template.createdAt, at);
  });
  for (const { vector } of templates) {
    if (vector.length !== dimension)
      throw new Fault(
        "invalid_template",
        `a vector has ${vector.length} values, its set has ${dimension}`,
      );
    for (const value of vector) at = out.writeFloatLE(value, at);
  }
  return out;
}

/** @throws Fault `store_corrupt` when the bytes are no such list */
export function unpackTemplates(bytes: Buffer): PackedTemplate[] {
  try {
    return unpacked(bytes);
  } catch (cause) {
    throw new Fault(
      "store_corrupt",
      "a template set opens but does not parse: run `ostiary check`",
      { cause },
    );
  }
}

function unpacked(bytes: Buffer): PackedTemplate[] {
  if (bytes.readUInt8(0) !== VERSION)
    throw new Fault("store_corrupt", `unknown template format ${bytes.readUInt8(0)}`);
  const dimension = bytes.readUInt16LE(2);
  const count = bytes.readUInt16LE(4);
  const heads: { readonly id: TemplateId; readonly createdAt: EpochMs }[] = [];
  let at = HEADER_BYTES;
  for (let index = 0; index < count; index += 1) {
    const length = bytes.readUInt8(at);
    const id = bytes.toString("utf8", at + 1, at + 1 + length) as TemplateId;
    heads.push({ id, createdAt: bytes.readDoubleLE(at + 1 + length) as EpochMs });
    at += 9 + length;
  }
  if (bytes.length !== at + count * dimension * 4)
    throw new Fault("store_corrupt", "length does not fit count and dimension");
  // Copied, since a view could be misaligned; once for all: a hundred thousand small buffers cost the collector more.
  const vectors = new Float32Array(count * dimension);
  new Uint8Array(vectors.buffer).set(bytes.subarray(at));
  return heads.map((head, index) => ({
    ...head,
    vector: vectors.subarray(index * dimension, (index + 1) * dimension),
  }));
}

export interface Profile {
  readonly displayName: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export function packProfile({ displayName, metadata }: Profile): Buffer {
  return Buffer.from(JSON.stringify({ displayName, metadata }), "utf8");
}

export function unpackProfile(bytes: Buffer): Profile {
  return JSON.parse(bytes.toString("utf8")) as Profile;
}

export interface SourceCrop {
  readonly png: Uint8Array;
  readonly landmarks: readonly { readonly x: number; readonly y: number }[];
}

/** Landmark count u8 · x f32, y f32 each · PNG. */
export function packCrop({ png, landmarks }: SourceCrop): Buffer {
  const head = Buffer.alloc(1 + landmarks.length * 8);
  head.writeUInt8(landmarks.length, 0);
  landmarks.forEach(({ x, y }, index) => {
    head.writeFloatLE(x, 1 + index * 8);
    head.writeFloatLE(y, 5 + index * 8);
  });
  return Buffer.concat([head, png]);
}

export function unpackCrop(bytes: Buffer): SourceCrop {
  const count = bytes.readUInt8(0);
  const landmarks = Array.from({ length: count }, (_, index) => ({
    x: bytes.readFloatLE(1 + index * 8),
    y: bytes.readFloatLE(5 + index * 8),
  }));
  return { png: bytes.subarray(1 + count * 8), landmarks };
}
