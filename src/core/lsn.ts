/**
 * WAL positions. In memory a bigint (byte offset in the WAL, 64 bits); as text PostgreSQL's `X/Y` hexadecimal form.
 */
export type Lsn = bigint;

export const LSN_ZERO: Lsn = 0n;

const PATTERN = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/;

/** Parses `16/B374D848`. Throws a RangeError on anything else. */
export function parseLsn(text: string): Lsn {
  const match = PATTERN.exec(text);
  if (!match) throw new RangeError(`Not an LSN: ${JSON.stringify(text)}`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** Formats as PostgreSQL does: upper-case hexadecimal, no leading zeros. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

export function maxLsn(a: Lsn, b: Lsn): Lsn {
  return a > b ? a : b;
}
