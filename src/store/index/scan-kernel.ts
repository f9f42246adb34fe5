/**
 * Dot products of one query with many eight-bit rows, as a WebAssembly SIMD function assembled here: the
 * same bytes run on SSE and NEON, in any thread, over memory that threads share. Integers: every
 * processor gives the same sums.
 */
import { instanceOver, PAGES_MAX, type SharedMemory } from "./shared-memory.ts";

/** Rows are read in steps of 16 values: their length is padded to that. */
export const LANE_VALUES = 16;

/**
 * Writes, as int32, the dot product of an int16 query with each of `count` consecutive int8 rows.
 *
 * Addresses are in bytes; a row begins every `rowBytes`. `values` is a multiple of 16, `count` at least
 * 1, and no sum may leave 32 bits: values · 127 · (largest query value) < 2³¹.
 */
export type Scan = (
  rows: number,
  count: number,
  rowBytes: number,
  values: number,
  query: number,
  out: number,
) => void;

export function scanOver(memory: SharedMemory): Scan {
  return instanceOver(memory, moduleBytes())["scan"] as Scan;
}

// Parameters and locals of `scan`, by index.
const ROWS = 0;
const COUNT = 1;
const ROW_BYTES = 2;
const VALUES = 3;
const QUERY = 4;
const OUT = 5;
const ROW = 6;
const AT = 7;
const END = 8;
const SUM = 9;

const I32 = 0x7f;
const V128 = 0x7b;
const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const constant = (value: number) => [0x41, ...signed(value)];
const ADD = 0x6a;
const advance = (local: number, bytes: number) => [
  ...get(local),
  ...constant(bytes),
  ADD,
  ...set(local),
];
const V128_LOAD = [0xfd, 0x00, 0x04];
const V128_LOAD8X8_S = [0xfd, 0x01, 0x03];
const I32X4_DOT_I16X8_S = [0xfd, 0xba, 0x01];
const I32X4_ADD = [0xfd, 0xae, 0x01];
const LOOP = [0x03, 0x40];
const REPEAT_IF = [0x0d, 0x00];
const END_BLOCK = 0x0b;

const SUMS = [SUM, SUM + 1];
const ZERO = new Array<number>(16).fill(0);

/** Of one row: clears the sums and sets where row and query begin and the query ends. */
function rowStart(): number[] {
  const clear = SUMS.flatMap((sum) => [0xfd, 0x0c, ...ZERO, ...set(sum)]);
  const begin = [...get(ROWS), ...set(ROW), ...get(QUERY), ...set(AT)];
  const end = [...get(QUERY), ...get(VALUES), ...constant(1), 0x74, ADD, ...set(END)];
  return [...clear, ...begin, ...end];
}

/** Sixteen values at a time, in two sums that do not wait for each other. */
function rowLoop(): number[] {
  const multiply = SUMS.flatMap((sum, half) => {
    const codes = [...get(ROW), ...V128_LOAD8X8_S, ...unsigned(8 * half)];
    const query = [...get(AT), ...V128_LOAD, ...unsigned(16 * half)];
    return [...codes, ...query, ...I32X4_DOT_I16X8_S, ...get(sum), ...I32X4_ADD, ...set(sum)];
  });
  const next = [
    ...advance(ROW, 16),
    ...advance(AT, 32),
    ...get(AT),
    ...get(END),
    0x49,
    ...REPEAT_IF,
  ];
  return [...LOOP, ...multiply, ...next, END_BLOCK];
}

/** The sums become one number at `OUT`; then the next row. */
function rowEnd(): number[] {
  const fold = [...get(SUM), ...get(SUM + 1), ...I32X4_ADD, ...set(SUM)];
  const lanes = [0, 1, 2, 3].flatMap((lane) => [
    ...get(SUM),
    0xfd,
    0x1b,
    lane,
    ...(lane === 0 ? [] : [ADD]),
  ]);
  const write = [...get(OUT), ...lanes, 0x36, 0x02, 0x00, ...advance(OUT, 4)];
  return [...fold, ...write, ...get(ROWS), ...get(ROW_BYTES), ADD, ...set(ROWS)];
}

/** https://webassembly.github.io/spec/core/binary/ */
function moduleBytes(): number[] {
  const untilLast = [...get(COUNT), ...constant(1), 0x6b, 0x22, COUNT, ...REPEAT_IF];
  const body = [
    ...LOOP,
    ...rowStart(),
    ...rowLoop(),
    ...rowEnd(),
    ...untilLast,
    END_BLOCK,
    END_BLOCK,
  ];
  const code = [2, 3, I32, 2, V128, ...body];
  const memory = [...text("e"), ...text("m"), 0x02, 0x03, ...unsigned(0), ...unsigned(PAGES_MAX)];
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 6, I32, I32, I32, I32, I32, I32, 0]),
    ...section(2, [1, ...memory]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text("scan"), 0x00, 0x00]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function text(value: string): number[] {
  return [...unsigned(value.length), ...value].map((part) =>
    typeof part === "string" ? part.charCodeAt(0) : part,
  );
}

/** LEB128. */
function unsigned(value: number): number[] {
  const low = value & 0x7f;
  const rest = value >>> 7;
  return rest === 0 ? [low] : [low | 0x80, ...unsigned(rest)];
}

/** Signed LEB128 of a small positive number: bit 6 of the last byte is its sign. */
function signed(value: number): number[] {
  return value < 64 ? [value] : [(value & 0x7f) | 0x80, ...signed(value >>> 7)];
}
