/**
 * json into a JSONB of a secondary that keeps numbers as they are written: PostgreSQL's jsonb writes `1e2` as `100`, so
 * that is what is sent. Strings stay untouched; what jsonb itself would refuse is refused here as well, because the
 * secondary would store something else for it (a lone surrogate becomes U+FFFD).
 */

/** A string, or a number; everything else of a JSON text needs no look. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.]*(?:[eE][+-]?\d+)?/gs;

/** Beyond this neither side has a numeric for it. */
const LARGEST_EXPONENT = 9999;

/** Null when jsonb does not take the text: `\u0000`, half a surrogate pair, a number out of range. Must be valid JSON. */
export function jsonForJsonb(text: string): string | null {
  let refused = false;
  const out = text.replace(TOKEN, (token) => {
    const form = token.startsWith('"') ? stringForm(token) : plainNumber(token);
    if (form === null) refused = true;
    return form ?? token;
  });
  return refused ? null : out;
}

function stringForm(token: string): string | null {
  if (!token.includes('\\u')) return token;
  const value = JSON.parse(token) as string;
  return value.includes('\0') || /\p{Surrogate}/u.test(value) ? null : token;
}

/** Without an exponent, with as many digits after the point as PostgreSQL's numeric keeps. Null beyond its range. */
export function plainNumber(text: string): string | null {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (!match) return text;
  const [, sign = '', whole = '', fraction = '', power = '0'] = match;
  const exponent = Number(power);
  if (Math.abs(exponent) > LARGEST_EXPONENT) return null;
  const scale = Math.max(0, fraction.length - exponent);
  const digits = `${whole}${fraction}${'0'.repeat(Math.max(0, exponent - fraction.length))}`.padStart(scale + 1, '0');
  const before = digits.slice(0, digits.length - scale).replace(/^0+(?=\d)/, '');
  const value = scale === 0 ? before : `${before}.${digits.slice(-scale)}`;
  return sign === '-' && /[1-9]/.test(value) ? `-${value}` : value;
}
