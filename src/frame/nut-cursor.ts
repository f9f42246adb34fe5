/** Reads the primitive types of NUT: varints, checksums, start codes. Never throws: see `overrun` and `bad`. */

/** CRC-32 of NUT (spec, "Checksums"): polynomial 0x104C11DB7, most significant bit first, starting at zero. */
export function nutChecksum(bytes: Uint8Array, from: number, to: number): number {
  let crc = 0;
  for (let at = from; at < to; at += 1) {
    crc ^= (bytes[at] ?? 0) << 24;
    for (let bit = 0; bit < 8; bit += 1)
      crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  }
  return crc >>> 0;
}

export class NutCursor {
  readonly bytes: Uint8Array;
  readonly end: number;
  at: number;
  /** A read went past `end`: everything read since is meaningless until more bytes are there. */
  overrun = false;
  /** A value cannot be represented or breaks its bound: the bytes are not what they should be. */
  bad = false;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  byte(): number {
    if (this.at >= this.end) {
      this.overrun = true;
      return 0;
    }
    const value = this.bytes[this.at] ?? 0;
    this.at += 1;
    return value;
  }

  uint32(): number {
    const high = (this.byte() << 8) | this.byte();
    const low = (this.byte() << 8) | this.byte();
    return high * 65536 + low;
  }

  /** Variable length, unsigned (spec, type `v`): seven bits a byte, most significant first. */
  varint(max = Number.MAX_SAFE_INTEGER): number {
    let value = 0;
    for (let length = 0; length < 10; length += 1) {
      const byte = this.byte();
      value = value * 128 + (byte & 0x7f);
      if ((byte & 0x80) !== 0) continue;
      if (value > max) this.bad = true;
      return this.bad || this.overrun ? 0 : value;
    }
    this.bad = true;
    return 0;
  }

  /** Variable length, signed (spec, type `s`). */
  signed(): number {
    const shifted = this.varint(Number.MAX_SAFE_INTEGER - 1) + 1;
    return shifted % 2 === 1 ? -Math.floor(shifted / 2) : shifted / 2;
  }

  /** A varint of any size whose value nobody needs. */
  skipVarint(): void {
    for (let length = 0; length < 10; length += 1) if ((this.byte() & 0x80) === 0) return;
    this.bad = true;
  }

  /** Length, then as many bytes (spec, type `vb`); a view. */
  sized(max: number): Uint8Array {
    const length = this.varint(max);
    if (this.at + length > this.end) {
      this.overrun = true;
      return this.bytes.subarray(0, 0);
    }
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}
