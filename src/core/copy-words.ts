/**
 * Copies `length` bytes, at least four, a word at a time: for values of some dozen bytes, of which a loop over bytes takes
 * four times as long, and a call into native code longer still (docs/decisions/0011-performance.md). The last word may
 * repeat bytes of the one before.
 */
export function copyWords(target: DataView, to: number, source: DataView, from: number, length: number): void {
  const last = length - 4;
  for (let i = 0; i < last; i += 4) target.setUint32(to + i, source.getUint32(from + i, true), true);
  target.setUint32(to + last, source.getUint32(from + last, true), true);
}

/** Longer values are copied by native code. */
export const FEW_BYTES = 64;

export function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
