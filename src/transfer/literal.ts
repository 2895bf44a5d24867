/** A value's text as a literal that psql, PostgreSQL and CockroachDB read alike, on one line of the file. */
import { arrayElements, arrayText } from '../reconcile/array-form.js';
import { timestampBack } from '../reconcile/back.js';
import { cockroachForm } from '../reconcile/cockroach-value.js';
import type { Conversion } from '../schema/mapped-type.js';

/**
 * From the text that the source sent, never NULL, to SQL. `refused` is told why CockroachDB would store another value,
 * or none at all, where that is so.
 */
export type Writer = (text: string, refused: (reason: string) => void) => string;

const NEEDS_CARE = /['\n\r]/;
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', "'": "''", '\n': '\\n', '\r': '\\r' };

/** Line ends as escapes, so that a row is a line; anything else stands for itself under standard_conforming_strings. */
export function quoted(text: string): string {
  if (!NEEDS_CARE.test(text)) return `'${text}'`;
  if (!/[\n\r]/.test(text)) return `'${text.replaceAll("'", "''")}'`;
  return `E'${text.replace(/[\\'\n\r]/g, (char) => ESCAPED[char] ?? char)}'`;
}

const BARE = new Set(['int2', 'int4', 'int8', 'oid']);
const REFUSED = 'refused: ';

/**
 * For values of a PostgreSQL source.
 * @param typeName pg_type.typname below any domains
 * @param convert what a CockroachDB column of this type does with the text
 * @param cockroachType its type there, with the precision
 */
export function writerFromPostgres(typeName: string, convert: Conversion, cockroachType: string): Writer {
  if (BARE.has(typeName)) return bare;
  if (typeName === 'bool') return (text) => (text === 't' ? 'true' : 'false');
  const form = cockroachForm(convert, typeName, cockroachType);
  if (form === null) return quoted;
  return (text, refused) => {
    const sent = form(text);
    const refusal = sent !== text && sent.startsWith(REFUSED);
    if (refusal) refused(sent.slice(REFUSED.length));
    // The stream writes JSON numbers out; both databases read them as they are.
    return quoted(refusal || convert === 'json' ? text : sent);
  };
}

/** For values of a CockroachDB source, whose timestamps PostgreSQL would not read in every place. */
export function writerFromCockroach(typeName: string): Writer {
  const element = typeName.replace(/^_/, '');
  const back = element === 'timestamp' || element === 'timestamptz' ? timestampBack : null;
  if (typeName.startsWith('_')) {
    return (text) => {
      const list = arrayElements(text);
      if (list === null) return quoted(text);
      return quoted(arrayText(back ? list.map((each) => (each === null ? null : back(each))) : list));
    };
  }
  if (BARE.has(element)) return bare;
  if (element === 'bool') return (text) => (text === 't' ? 'true' : 'false');
  return back ? (text) => quoted(back(text)) : quoted;
}

function bare(text: string): string {
  return text;
}
