/**
 * Gives a buffer's memory back at once and leaves it empty: the collector hardly sees bytes outside its
 * heap, and tens of megabytes of dead pixels would wait for it. Views into larger memory are left alone.
 */
export function discard(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && bytes.byteLength === buffer.byteLength) buffer.transfer(0);
}
