/**
 * Dot products of one query with many rows, as a WebAssembly SIMD function assembled here: the same
 * bytes run on SSE and NEON, in any thread, over memory that threads share.
 */

/** The few names of WebAssembly that are used; the compiler's library has them only with the whole DOM. */
interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
  readonly grow: (pages: number) => number;
}
interface Wasm {
  readonly Memory: new (options: {
    initial: number;
    maximum: number;
    shared: true;
  }) => SharedMemory;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
    imports: object,
  ) => { readonly exports: Readonly<Record<string, unknown>> };
}
const wasm = (globalThis as unknown as { readonly WebAssembly: Wasm }).WebAssembly;

export type { SharedMemory };

export const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_536;
/** Rows are read in steps of 16 floats: their length is padded to that. */
export const LANE_FLOATS = 16;

export function sharedMemory(pages: number, pagesMax: number): SharedMemory {
  return new wasm.Memory({ initial: pages, maximum: Math.min(pagesMax, PAGES_MAX), shared: true });
}

/**
 * Writes the dot product of the query with each of `count` consecutive rows.
 *
 * Addresses are in bytes. `rowBytes` is a multiple of 64, `count` at least 1.
 */
export type Scan = (
  rows: number,
  count: number,
  rowBytes: number,
  query: number,
  out: number,
) => void;

export function scanOver(memory: SharedMemory): Scan {
  const instance = new wasm.Instance(new wasm.Module(Uint8Array.from(moduleBytes())), {
    e: { m: memory },
  });
  return instance.exports["scan"] as Scan;
}

// Parameters and locals of `scan`, by index.
const ROWS = 0;
const COUNT = 1;
const ROW_BYTES = 2;
const QUERY = 3;
const OUT = 4;
const AT = 5;
const END = 6;
const SUM = 7;

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
const load = (local: number, offset: number) => [
  ...get(local),
  0xfd,
  0x00,
  0x04,
  ...unsigned(offset),
];
const F32X4_ADD = [0xfd, 0xe4, 0x01];
/** Rounds once or twice, as the processor likes: these scores only propose. */
const F32X4_RELAXED_MADD = [0xfd, 0x85, 0x02];
const LOOP = [0x03, 0x40];
const REPEAT_IF = [0x0d, 0x00];
const END_BLOCK = 0x0b;

const SUMS = [SUM, SUM + 1, SUM + 2, SUM + 3];
const ZERO = new Array<number>(16).fill(0);

/** Of one row: clears the sums and sets where the query begins and ends. */
function rowStart(): number[] {
  const clear = SUMS.flatMap((sum) => [0xfd, 0x0c, ...ZERO, ...set(sum)]);
  return [...clear, ...get(QUERY), ...set(AT), ...get(QUERY), ...get(ROW_BYTES), ADD, ...set(END)];
}

/** Sixteen floats at a time, in four sums that do not wait for each other. */
function rowLoop(): number[] {
  const multiply = SUMS.flatMap((sum, lane) => {
    const factors = [...load(ROWS, 16 * lane), ...load(AT, 16 * lane)];
    return [...factors, ...get(sum), ...F32X4_RELAXED_MADD, ...set(sum)];
  });
  const next = [
    ...advance(ROWS, 64),
    ...advance(AT, 64),
    ...get(AT),
    ...get(END),
    0x49,
    ...REPEAT_IF,
  ];
  return [...LOOP, ...multiply, ...next, END_BLOCK];
}

/** The sums become one float at `OUT`. */
function rowEnd(): number[] {
  const upper = [...get(SUM + 2), ...get(SUM + 3), ...F32X4_ADD];
  const fold = [...get(SUM), ...get(SUM + 1), ...F32X4_ADD, ...upper, ...F32X4_ADD, ...set(SUM)];
  const lanes = [0, 1, 2, 3].flatMap((lane) => [
    ...get(SUM),
    0xfd,
    0x1f,
    lane,
    ...(lane === 0 ? [] : [0x92]),
  ]);
  return [...fold, ...get(OUT), ...lanes, 0x38, 0x02, 0x00, ...advance(OUT, 4)];
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
  const code = [2, 2, I32, 4, V128, ...body];
  const memory = [...text("e"), ...text("m"), 0x02, 0x03, ...unsigned(0), ...unsigned(PAGES_MAX)];
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 5, I32, I32, I32, I32, I32, 0]),
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
