/**
 * Makes the height and width of an ONNX image model free. Some files (YuNet 2023mar) declare one
 * input size although every operator takes any. Only the graph's declarations are rewritten
 * (onnx.proto: ModelProto.graph = 7; GraphProto.input = 11, output = 12, value_info = 13); weights and
 * operators stay byte for byte.
 */
import { Fault } from "../lib/fault.ts";

const GRAPH = 7;
const GRAPH_INPUT = 11;
const GRAPH_OUTPUT = 12;
const GRAPH_VALUE_INFO = 13;
const VALUE_NAME = 1;
const VALUE_TYPE = 2;
const TYPE_TENSOR = 1;
const TENSOR_SHAPE = 2;
const SHAPE_DIM = 1;
const DIM_PARAM = 2;

/** One field of a protobuf message: its number, and its bytes with and without the header. */
interface Field {
  readonly number: number;
  readonly wireType: number;
  readonly whole: Uint8Array;
  /** Content of a length-delimited field; empty for others. */
  readonly content: Uint8Array;
}

/**
 * A copy of `model` whose 4-dimensional input has free height and width; its batch stays as declared.
 * A model that is free already comes back with equal meaning.
 *
 * @throws Fault `model_invalid` when the bytes are no ONNX model with one NCHW input
 */
export function withDynamicInput(model: Uint8Array): Uint8Array {
  let inputs = 0;
  const patched = mapFields(model, (field) => {
    if (field.number !== GRAPH || field.wireType !== 2) return field.whole;
    const graph = mapFields(field.content, (part) => {
      if (part.wireType !== 2) return part.whole;
      // Inferred shapes of inner values contradict the free size; the runtime infers them again.
      if (part.number === GRAPH_VALUE_INFO) return new Uint8Array(0);
      if (part.number === GRAPH_OUTPUT)
        return delimited(
          GRAPH_OUTPUT,
          freed(part.content, (index) => index > 0),
        );
      if (part.number !== GRAPH_INPUT || rankOf(part.content) !== 4) return part.whole;
      inputs += 1;
      return delimited(
        GRAPH_INPUT,
        freed(part.content, (index) => index >= 2),
      );
    });
    return delimited(GRAPH, graph);
  });
  if (inputs !== 1) throw invalid(`it has ${inputs} inputs of 4 dimensions instead of one`);
  return patched;
}

const invalid = (cause: string): Fault =>
  new Fault(
    "model_invalid",
    `the file is no ONNX image model: ${cause}; give the detector's .onnx file`,
  );

/** A ValueInfoProto with the dimensions that `isFree` names made symbolic. */
function freed(valueInfo: Uint8Array, isFree: (index: number) => boolean): Uint8Array {
  const nameField = fields(valueInfo).find((field) => field.number === VALUE_NAME);
  const name = nameField === undefined ? "" : new TextDecoder().decode(nameField.content);
  return mapPath(valueInfo, [VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE], (shape) => {
    let index = -1;
    return mapFields(shape, (field) => {
      if (field.number !== SHAPE_DIM) return field.whole;
      index += 1;
      if (!isFree(index)) return field.whole;
      const symbol = new TextEncoder().encode(`${name}_${index}`);
      return delimited(SHAPE_DIM, delimited(DIM_PARAM, symbol));
    });
  });
}

function rankOf(valueInfo: Uint8Array): number {
  let rank = 0;
  mapPath(valueInfo, [VALUE_TYPE, TYPE_TENSOR, TENSOR_SHAPE], (shape) => {
    rank = fields(shape).filter((field) => field.number === SHAPE_DIM).length;
    return shape;
  });
  return rank;
}

function mapPath(
  message: Uint8Array,
  path: readonly number[],
  change: (inner: Uint8Array) => Uint8Array,
): Uint8Array {
  const [head, ...rest] = path;
  if (head === undefined) return change(message);
  return mapFields(message, (field) =>
    field.number === head && field.wireType === 2
      ? delimited(head, mapPath(field.content, rest, change))
      : field.whole,
  );
}

function mapFields(message: Uint8Array, change: (field: Field) => Uint8Array): Uint8Array {
  return joined(fields(message).map(change));
}

function fields(message: Uint8Array): readonly Field[] {
  const found: Field[] = [];
  let at = 0;
  while (at < message.length) {
    const start = at;
    const key = readVarint(message, at);
    at = key.next;
    const wireType = key.value & 7;
    let contentStart = at;
    if (wireType === 0) at = readVarint(message, at).next;
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = readVarint(message, at);
      contentStart = length.next;
      at = length.next + length.value;
    } else throw invalid(`unknown wire type ${wireType} at byte ${start}`);
    if (at > message.length) throw invalid(`it ends inside the field at byte ${start}`);
    const content = wireType === 2 ? message.subarray(contentStart, at) : new Uint8Array(0);
    found.push({ number: key.value >>> 3, wireType, whole: message.subarray(start, at), content });
  }
  return found;
}

/** Exact up to 2^53; longer varints (negative int64) lose their value but not their end, which is all that is needed. */
function readVarint(
  bytes: Uint8Array,
  from: number,
): { readonly value: number; readonly next: number } {
  let value = 0;
  let scale = 1;
  for (let at = from; at < from + 10; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) throw invalid(`it ends inside a number at byte ${from}`);
    value += (byte & 0x7f) * scale;
    scale *= 128;
    if (byte < 0x80) return { value, next: at + 1 };
  }
  throw invalid(`a number at byte ${from} is too long`);
}

function delimited(number: number, content: Uint8Array): Uint8Array {
  return joined([varint(number * 8 + 2), varint(content.length), content]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? low | 0x80 : low);
  } while (rest > 0);
  return Uint8Array.from(bytes);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
