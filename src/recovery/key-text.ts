/**
 * The text of a key in the journal. A key comes from the WAL of either side, from a changefeed's JSON and from a query,
 * each in its own words; the same value must have one text, or a row that was written would count as untouched.
 */
import { timestampBack } from '../reconcile/back.js';

export type KeyText = (text: string) => string;

const same: KeyText = (text) => text;

/** @param typeName pg_type.typname of the key's column on the primary, below any domain */
export function keyText(typeName: string): KeyText {
  switch (typeName) {
    case 'numeric':
      return decimalText;
    case 'float4':
    case 'float8':
      return (text) => (/nan|inf/i.test(text) ? text.toLowerCase().slice(0, 4) : String(Number(text)));
    case 'bool':
      return (text) => (text.startsWith('t') ? 't' : 'f');
    case 'bpchar':
      return (text) => text.trimEnd();
    case 'citext':
      return (text) => text.toLowerCase();
    case 'uuid':
      return (text) => text.toLowerCase();
    case 'timestamp':
    case 'timestamptz':
      return (text) => trimFraction(timestampBack(text).replace(/\+00:00$/, '+00'));
    case 'time':
    case 'timetz':
      return (text) =>
        trimFraction(text.replace(/(:00){1,2}(?=$)/, (zeros) => (/[+-]\d\d(:00){1,2}$/.test(text) ? '' : zeros)));
    default:
      return same;
  }
}

/** `1.50`, `1.5` and `1.5E+0` alike. */
function decimalText(text: string): string {
  const match = /^(-?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (!match) return text;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const digits = whole + fraction;
  const point = whole.length + Number(exponent);
  const padded = point > digits.length ? digits.padEnd(point, '0') : digits;
  const before = point <= 0 ? '0' : padded.slice(0, point).replace(/^0+(?=\d)/, '');
  const after = (point < 0 ? '0'.repeat(-point) + digits : padded.slice(Math.max(point, 0))).replace(/0+$/, '');
  const value = after === '' ? before || '0' : `${before || '0'}.${after}`;
  return value === '0' ? '0' : sign + value;
}

function trimFraction(text: string): string {
  return text.replace(/(\.\d*?)0+(?=$|[+\- ])/, '$1').replace(/\.(?=$|[+\- ])/, '');
}

/** Microseconds, or the number itself; null for a type that has no order in time, and for what cannot be read. */
export function updatedAtOf(typeName: string, text: string | null | undefined): bigint | null {
  if (text == null) return null;
  if (typeName === 'int8') return /^-?\d+$/.test(text) ? BigInt(text) : null;
  const iso = timestampBack(text);
  if (iso === 'infinity') return 1n << 62n;
  if (iso === '-infinity') return -(1n << 62n);
  const match = /^(\d{4,6}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:\+00(?::00)?)?$/.exec(iso);
  if (!match) return null;
  const [, date = '', time = '', fraction = ''] = match;
  const ms = Date.parse(`${date}T${time}Z`);
  return Number.isNaN(ms) ? null : BigInt(ms) * 1000n + BigInt(fraction.padEnd(6, '0'));
}
