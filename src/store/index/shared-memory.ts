/** Memory that threads share and WebAssembly reads; it grows in place. */
import { Fault } from "../../lib/fault.ts";

/** The few names of WebAssembly that are used; the compiler's library has them only with the whole DOM. */
export interface SharedMemory {
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

export const PAGE_BYTES = 65_536;
/** The address space of 32 bits. Reserved, not used, until it grows. */
export const PAGES_MAX = 65_536;

export function sharedMemory(pages: number): SharedMemory {
  return new wasm.Memory({ initial: pages, maximum: PAGES_MAX, shared: true });
}

/** @param bytes of a module that imports its memory as `e.m` */
export function instanceOver(
  memory: SharedMemory,
  bytes: readonly number[],
): Readonly<Record<string, unknown>> {
  const module = new wasm.Module(Uint8Array.from(bytes));
  return new wasm.Instance(module, { e: { m: memory } }).exports;
}

/** Grows until `bytes` fit. @throws Fault `gallery_full` */
export function reserve(memory: SharedMemory, bytes: number): void {
  const size = memory.buffer.byteLength;
  const missing = Math.ceil((bytes - size) / PAGE_BYTES);
  if (missing <= 0) return;
  // An eighth more at a time, so that enrolling one by one does not grow one by one.
  const pages = Math.max(missing, Math.min(size >>> 19, 1024));
  try {
    memory.grow(pages);
  } catch (cause) {
    throw new Fault("gallery_full", `no memory for ${bytes} bytes of templates`, { cause });
  }
}
