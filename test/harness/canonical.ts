/**
 * One text per value, whichever of PostgreSQL and CockroachDB printed it: numbers without superfluous zeros, JSON with
 * sorted keys, times without superfluous fractions, offsets in one form, arrays in one form of quoting. Two texts that
 * differ here differ by value.
 */

/** Type OIDs, the same in both databases. Elements of arrays are looked up by the array's OID. */
const CONVERTERS = new Map<number, (text: string) => string>();
const ARRAYS = new Map<number, number>();

function define(convert: (text: string) => string, ...types: ReadonlyArray<readonly [oid: number, arrayOid: number]>) {
  for (const [oid, arrayOid] of types) {
    CONVERTERS.set(oid, convert);
    ARRAYS.set(arrayOid, oid);
  }
}

// text, varchar, uuid, int2, int4, int8, bool, bytea, date, interval, inet
const AS_PRINTED = [25, 1043, 2950, 21, 23, 20, 16, 17, 1082, 1186, 869] as const;
const THEIR_ARRAYS = [1009, 1015, 2951, 1005, 1007, 1016, 1000, 1001, 1182, 1187, 1041] as const;
define((text) => text, ...AS_PRINTED.map((oid, index) => [oid, THEIR_ARRAYS[index] ?? 0] as const));
define(canonicalNumber, [1700, 1231]); // numeric
define(canonicalFloat, [700, 1021], [701, 1022]); // float4, float8
define(canonicalJson, [114, 199], [3802, 3807]); // json, jsonb
define(canonicalTime, [1083, 1183], [1266, 1270], [1114, 1115], [1184, 1185]); // time, timetz, timestamp, timestamptz
define((text) => text.replace(/ +$/, ''), [1042, 1014]); // char(n): PostgreSQL pads, CockroachDB does not
define((text) => canonicalNumber(text.replace(/[$,]/g, '')), [790, 791]); // money, a DECIMAL on CockroachDB

export function canonicalValue(text: string, typeOid: number): string {
  const element = ARRAYS.get(typeOid);
  if (element !== undefined) return canonicalArray(text, element);
  return CONVERTERS.get(typeOid)?.(text) ?? text;
}

/** Decimal, without exponent, without leading or trailing zeros; exact for any number of digits. */
export function canonicalNumber(text: string): string {
  const match = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text.trim());
  if (match === null) return text;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const point = whole.length + Number(exponent);
  const digits = (whole + fraction)
    .padEnd(point, '0')
    .padStart(whole.length + fraction.length - Math.min(point, 0), '0');
  const cut = Math.max(point, 0);
  const before = digits.slice(0, cut).replace(/^0+/, '') || '0';
  const after = digits.slice(cut).replace(/0+$/, '');
  const value = after === '' ? before : `${before}.${after}`;
  return sign === '-' && value !== '0' ? `-${value}` : value;
}

function canonicalFloat(text: string): string {
  if (/nan|inf/i.test(text)) return text;
  return Object.is(Number(text), -0) ? '-0' : String(Number(text));
}

function canonicalTime(text: string): string {
  return text
    .replace(/(\.\d*?)0+(?=$|[+\- ])/, '$1')
    .replace(/\.(?=$|[+\- ])/, '')
    .replace(/([+-]\d\d):00$/, '$1');
}

function canonicalArray(text: string, elementOid: number): string {
  if (!text.startsWith('{')) return text;
  const read = (position: number): [json: string, next: number] => {
    const items: string[] = [];
    let at = position + 1;
    while (at < text.length && text[at] !== '}') {
      const [item, next] = text[at] === '{' ? read(at) : readElement(text, at, elementOid);
      items.push(item);
      at = text[next] === ',' ? next + 1 : next;
    }
    return [`[${items.join(',')}]`, at + 1];
  };
  return read(0)[0];
}

function readElement(text: string, start: number, elementOid: number): [json: string, next: number] {
  const quoted = text[start] === '"';
  let value = '';
  let at = quoted ? start + 1 : start;
  while (at < text.length && (quoted ? text[at] !== '"' : text[at] !== ',' && text[at] !== '}')) {
    if (text[at] === '\\') at += 1;
    value += text[at];
    at += 1;
  }
  const json = !quoted && value === 'NULL' ? 'null' : JSON.stringify(canonicalValue(value, elementOid));
  return [json, quoted ? at + 1 : at];
}

/** Keys sorted, no blanks, numbers exact: `JSON.parse` would round them. */
export function canonicalJson(text: string): string {
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let at = 0;
  const value = (): string => {
    const token = tokens[at++] ?? '';
    if (token === '{') {
      const members = new Map<string, string>();
      while (tokens[at] !== '}' && at < tokens.length) {
        const key = JSON.stringify(JSON.parse(tokens[at] ?? '""'));
        at += 2;
        members.set(key, value());
        if (tokens[at] === ',') at += 1;
      }
      at += 1;
      const sorted = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
      return `{${sorted.map(([key, member]) => `${key}:${member}`).join(',')}}`;
    }
    if (token === '[') {
      const items: string[] = [];
      while (tokens[at] !== ']' && at < tokens.length) {
        items.push(value());
        if (tokens[at] === ',') at += 1;
      }
      at += 1;
      return `[${items.join(',')}]`;
    }
    if (token.startsWith('"')) return JSON.stringify(JSON.parse(token));
    return /^[-\d]/.test(token) ? canonicalNumber(token) : token;
  };
  return value();
}
