/**
 * Values that CockroachDB would take and store as something else. What can be sent in another form is; what it cannot
 * hold is sent as a text that it refuses with 22P02, so that the row becomes a dead letter with its original values and
 * the table is paused (G9), never a silently different value.
 */
import type { Conversion } from '../schema/mapped-type.js';
import { arrayElements, arrayText } from './array-form.js';
import { jsonForJsonb } from './json-form.js';

export type ValueForm = (text: string) => string;

/** Neither commas nor quotes, braces or backslashes: it must pass an array literal that is not quoted. */
type Refusal = `refused: ${string}`;

/** What stands for infinity in a TIMESTAMP of CockroachDB 22.1, as PostgreSQL prints it. */
export const COCKROACH_INFINITY = '294276-12-31 23:59:59.999999';
export const COCKROACH_MINUS_INFINITY = '4714-11-24 00:00:00 BC';

const TAKEN_FOR_INFINITY: Refusal = 'refused: this timestamp is what CockroachDB takes for infinity';
const ROUNDED_INFINITY: Refusal = 'refused: CockroachDB has no infinity in a timestamp of less than 6 digits';
const TOO_MANY_HOURS: Refusal = 'refused: CockroachDB holds at most 2562047 hours in an interval beside its days';
const SHAPE: Refusal = 'refused: CockroachDB has arrays of one dimension that count from 1 only';
const NO_JSONB: Refusal = 'refused: jsonb holds neither the character zero nor half a surrogate pair nor such a number';

/**
 * Null when every text of the type may be sent as it is.
 * @param typeName pg_type.typname on the secondary, `_int8` for an array of int8
 * @param sqlType with its precision: `TIMESTAMP(3)[]`
 */
export function cockroachForm(convert: Conversion, typeName: string, sqlType: string): ValueForm | null {
  if (convert === 'text') return null;
  if (sqlType.endsWith('[]')) {
    const element = elementForm(convert, typeName.replace(/^_/, ''), sqlType.slice(0, -2));
    return (text) => arrayForm(text, element);
  }
  return elementForm(convert, typeName, sqlType);
}

function elementForm(convert: Conversion, typeName: string, sqlType: string): ValueForm | null {
  if (convert === 'json') return (text) => jsonForJsonb(text) ?? NO_JSONB;
  if (typeName === 'interval') return intervalForm;
  if (typeName !== 'timestamp' && typeName !== 'timestamptz') return null;
  const rounds = /\([0-5]\)/.test(sqlType);
  return (text) => timestampForm(text, rounds);
}

/** Plain ASCII without a nested brace cannot be misread; it needs no second look where the elements need none. */
const PLAIN_ARRAY = /^\{[\0-|~\x7f]*\}$/;

function arrayForm(text: string, element: ValueForm | null): string {
  if (!element && PLAIN_ARRAY.test(text) && !text.includes('{', 1)) return text;
  const elements = arrayElements(text);
  if (elements === null) return SHAPE;
  const sent = element ? elements.map((each) => (each === null ? null : element(each))) : elements;
  const refusal = element ? sent.find((each, i) => each !== elements[i] && each?.startsWith('refused: ')) : undefined;
  return refusal ?? arrayText(sent);
}

function timestampForm(text: string, rounds: boolean): string {
  if (text === 'infinity') return rounds ? ROUNDED_INFINITY : text;
  const finite = text.replace('+00', '');
  return finite === COCKROACH_INFINITY || finite === COCKROACH_MINUS_INFINITY ? TAKEN_FOR_INFINITY : text;
}

const MOST_HOURS = 2_562_047;
const MOST_MICROSECONDS = 9_223_372_036_854_775n;

/** The time of an interval is kept in nanoseconds, and wraps around without an error. */
function intervalForm(text: string): string {
  const match = /(\d+):(\d\d):(\d\d)(?:\.(\d+))?$/.exec(text);
  if (!match || Number(match[1]) < MOST_HOURS) return text;
  const [, hours = '', minutes = '', seconds = '', fraction = ''] = match;
  const whole = (BigInt(hours) * 60n + BigInt(minutes)) * 60n + BigInt(seconds);
  return whole * 1_000_000n + BigInt(fraction.padEnd(6, '0')) > MOST_MICROSECONDS ? TOO_MANY_HOURS : text;
}
