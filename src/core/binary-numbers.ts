/**
 * Numbers in the binary form of their send functions, as the text of their output functions under the settings of
 * `source/session-settings.ts`. PostgreSQL, src/backend/utils/adt: numeric.c (numeric_send, get_str_from_var) and, for the
 * places where a float's text changes its form, ryu/d2s.c and ryu/f2s.c.
 */

const TWO_32 = 4_294_967_296;
/** High words of numbers that are exact as a double. */
const EXACT_HIGH = 1 << 20;

/** Eight bytes, as text. */
export function int8Text(bytes: Buffer, at: number): string {
  const high = bytes.readInt32BE(at);
  if (high > -EXACT_HIGH && high < EXACT_HIGH) return String(high * TWO_32 + bytes.readUInt32BE(at + 4));
  return String(bytes.readBigInt64BE(at));
}

const NEGATIVE = 0x4000;
const SPECIAL: Readonly<Record<number, string>> = { 49152: 'NaN', 53248: 'Infinity', 61440: '-Infinity' };
const DIGITS_AT = 8;

/** Digits of base 10,000, of which the first stands for `weight`. Null: its length is not what it says. */
export function numericText(bytes: Buffer, start: number, end: number): string | null {
  if (end - start < DIGITS_AT) return null;
  const count = bytes.readUInt16BE(start);
  if (end - start !== DIGITS_AT + 2 * count) return null;
  const weight = bytes.readInt16BE(start + 2);
  const sign = bytes.readUInt16BE(start + 4);
  const scale = bytes.readUInt16BE(start + 6);
  const special = SPECIAL[sign];
  if (special !== undefined) return special;
  const digit = (i: number): number => {
    if (i < 0 || i >= count) return 0;
    const at = start + DIGITS_AT + 2 * i;
    return ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
  };
  let text = sign === NEGATIVE ? '-' : '';
  if (weight < 0) text += '0';
  else {
    text += digit(0);
    for (let i = 1; i <= weight; i++) text += padded(digit(i));
  }
  if (scale === 0) return text;
  let fraction = '';
  for (let i = weight + 1; fraction.length < scale; i++) fraction += padded(digit(i));
  return `${text}.${fraction.length === scale ? fraction : fraction.slice(0, scale)}`;
}

function padded(digit: number): string {
  if (digit >= 1000) return String(digit);
  if (digit >= 100) return `0${digit}`;
  return digit >= 10 ? `00${digit}` : `000${digit}`;
}

const LEAST_FIXED = -4;
const DOUBLE_SCIENTIFIC = 15;
const SINGLE_SCIENTIFIC = 6;

export function float8Text(value: number): string {
  return floatText(value, value.toExponential(), DOUBLE_SCIENTIFIC);
}

/** @param value a number that four bytes hold exactly */
export function float4Text(value: number): string {
  // The fewest digits that read back as the same four bytes; nine always do.
  for (let digits = 0; digits < 8; digits++) {
    const text = value.toExponential(digits);
    if (Math.fround(Number(text)) === value) return floatText(value, text, SINGLE_SCIENTIFIC);
  }
  return floatText(value, value.toExponential(8), SINGLE_SCIENTIFIC);
}

/** @param scientific a digit, a fraction if it has one, and an exponent */
function floatText(value: number, scientific: string, mostFixed: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const at = scientific.indexOf('e');
  const exponent = Number(scientific.slice(at + 1));
  const mantissa = scientific.slice(value < 0 ? 1 : 0, at);
  const sign = value < 0 ? '-' : '';
  if (exponent < LEAST_FIXED || exponent >= mostFixed) {
    const size = Math.abs(exponent);
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${size < 10 ? '0' : ''}${size}`;
  }
  const digits = mantissa.replace('.', '');
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  if (digits.length <= exponent + 1) return sign + digits.padEnd(exponent + 1, '0');
  return `${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
}
