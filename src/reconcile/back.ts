/**
 * The way back: what the secondary sends for a value, as a text that the primary's type reads as the value it had. What
 * PostgreSQL reads by itself (1E-7, +Inf, +05:30:00, JSON with other spaces) is left to it; so the primary is the judge
 * of equality where a row's hash is in doubt.
 */
import type { DialectName } from '../apply/dialect.js';
import { undomained } from '../schema/model.js';
import { arrayElements, arrayText } from './array-form.js';
import type { ComparableColumn } from './canonical.js';
import { COCKROACH_INFINITY, COCKROACH_MINUS_INFINITY } from './cockroach-value.js';

export interface BackColumn {
  readonly name: string;
  /**
   * From the text of a target session to text for `cast`; a secondary's NULL is the primary's NULL.
   * @throws RangeError when the text is not one of the column's type
   */
  readonly text: (text: string) => string;
  /** SQL on the primary: the parameter as the column's type, `$1` to `($1::text)::numeric(10,2)`. */
  readonly cast: (parameter: string) => string;
  /** SQL on the primary: true when the row's value and the text (after `text`) are the same, NULLs included. */
  readonly same: (parameter: string) => string;
  /** What cannot come back, in one sentence; null when every value does. */
  readonly deviation: string | null;
}

const JSON_DEVIATION = 'json went through JSONB: blanks, the order of members and the first of equal names are lost';
const REAL_DEVIATION = 'a real written on CockroachDB with more digits than it has is rounded';

export function backColumn(column: ComparableColumn, dialect: DialectName): BackColumn {
  const { name, type, convert } = column;
  const cast = (parameter: string) => `(${parameter}::text)::${type.display}`;
  const value = `r."${name.replaceAll('"', '""')}"`;
  const base = undomained(type);
  // concat() is there for every type; json, xml and point have no operator =.
  const sent = (sql: string) => (base.name === 'json' ? `(${sql})::text::jsonb` : `concat(${sql})`);
  return {
    name,
    text: textBack(column, dialect),
    cast,
    same: (parameter) =>
      `(CASE WHEN ${value} IS NOT DISTINCT FROM NULL OR ${parameter}::text IS NULL THEN ${value} IS NOT DISTINCT FROM NULL AND ${parameter}::text IS NULL ELSE ${sent(value)} = ${sent(cast(parameter))} END)`,
    deviation:
      convert === 'json' ? JSON_DEVIATION : dialect === 'cockroach' && base.name === 'float4' ? REAL_DEVIATION : null,
  };
}

const identity = (text: string): string => text;

function textBack({ type, convert }: ComparableColumn, dialect: DialectName): (text: string) => string {
  if (convert === 'hstore') return jsonToHstore;
  if (convert === 'text' || dialect === 'postgres') return identity;
  const base = undomained(type);
  if (base.kind === 'array' && base.element) {
    const element = elementBack(undomained(base.element).name);
    return element === identity
      ? identity
      : (text) => arrayText((arrayElements(text) ?? []).map((each) => (each === null ? null : element(each))));
  }
  return elementBack(base.name);
}

function elementBack(typeName: string): (text: string) => string {
  return typeName === 'timestamp' || typeName === 'timestamptz' ? timestampBack : identity;
}

/**
 * Columns print `0044-03-15 12:00:00+00 BC`, elements of arrays `-0043-03-15 12:00:00+00:00`; CockroachDB 22.1 prints its
 * infinity as the finite value that stands for it, which a stream never writes.
 */
export function timestampBack(text: string): string {
  const negative = /^(-?)(\d{4,})(-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)(\+00)?(?::00)?$/.exec(text);
  let finite = text;
  if (negative) {
    const [, minus = '', year = '', rest = '', zone = ''] = negative;
    const before = minus === '-' || Number(year) === 0;
    const shown = before ? String(Number(year) + 1).padStart(4, '0') : year;
    finite = `${shown}${rest}${zone}${before ? ' BC' : ''}`;
  }
  const bare = finite.replace('+00', '');
  if (bare === COCKROACH_INFINITY) return 'infinity';
  return bare === COCKROACH_MINUS_INFINITY ? '-infinity' : finite;
}

/** A JSON object of strings and nulls to `"a"=>"1", "b"=>NULL`. @throws RangeError, SyntaxError for anything else */
export function jsonToHstore(json: string): string {
  const pairs: unknown = JSON.parse(json);
  if (typeof pairs !== 'object' || pairs === null || Array.isArray(pairs)) throw new RangeError('Not a JSON object');
  return Object.entries(pairs)
    .map(([key, value]: [string, unknown]) => {
      if (value !== null && typeof value !== 'string')
        throw new RangeError('Not a JSON object of strings: hstore holds nothing else');
      return `${quoted(key)}=>${value === null ? 'NULL' : quoted(value)}`;
    })
    .join(', ');
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
