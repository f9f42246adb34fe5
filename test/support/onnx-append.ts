/**
 * Appends nodes to an ONNX model without a library: a second `graph` field is merged with the first when
 * the file is read, repeated fields one after the other (protobuf, "last one wins" and its exceptions).
 * Numbers are those of onnx.proto.
 */
const MODEL_GRAPH = 7;
const GRAPH = { node: 1, initializer: 5, output: 12 };
const NODE = { input: 1, output: 2, opType: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, i: 3, type: 20 };
const ATTRIBUTE_INT = 2;
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9 };
const FLOAT = 1;
const INT64 = 7;

export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly output: string;
  /** Whole numbers. */
  readonly attributes?: Readonly<Record<string, number>>;
}

export interface OnnxConstant {
  readonly name: string;
  readonly dims: readonly number[];
  readonly values: Float32Array | BigInt64Array;
}

/** @param output name of a float tensor that becomes another output of the model */
export function appendNodes(
  model: Uint8Array,
  nodes: readonly OnnxNode[],
  constants: readonly OnnxConstant[],
  output: string,
): Uint8Array {
  const graph = Buffer.concat([
    ...nodes.map(({ op, inputs, output: name, attributes = {} }) =>
      message(GRAPH.node, [
        ...inputs.map((input) => text(NODE.input, input)),
        text(NODE.output, name),
        text(NODE.opType, op),
        ...Object.entries(attributes).map(([key, value]) =>
          message(NODE.attribute, [
            text(ATTRIBUTE.name, key),
            number(ATTRIBUTE.i, value),
            number(ATTRIBUTE.type, ATTRIBUTE_INT),
          ]),
        ),
      ]),
    ),
    ...constants.map(({ name, dims, values }) =>
      message(GRAPH.initializer, [
        ...dims.map((dim) => number(TENSOR.dims, dim)),
        number(TENSOR.dataType, values instanceof Float32Array ? FLOAT : INT64),
        text(TENSOR.name, name),
        field(TENSOR.rawData, Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
      ]),
    ),
    // ValueInfoProto { name = 1, type = 2 { tensor_type = 1 { elem_type = 1 } } }
    message(GRAPH.output, [text(1, output), message(2, [message(1, [number(1, FLOAT)])])]),
  ]);
  return Buffer.concat([model, field(MODEL_GRAPH, graph)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

const field = (id: number, content: Uint8Array): Buffer =>
  Buffer.concat([varint(id * 8 + 2), varint(content.byteLength), content]);
const message = (id: number, parts: readonly Buffer[]): Buffer => field(id, Buffer.concat(parts));
const text = (id: number, value: string): Buffer => field(id, Buffer.from(value));
const number = (id: number, value: number): Buffer =>
  Buffer.concat([varint(id * 8), varint(value)]);
