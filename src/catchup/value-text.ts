/**
 * A changefeed's JSON value as the text that PostgreSQL reads for the column's type. Exact, with two exceptions that the
 * changefeed itself makes: a jsonb `null` looks like SQL NULL, and an infinite timestamp like the last finite one.
 * Whoever copies a row reads it again by its key, where neither happens.
 */
import { arrayElements } from './json-text.js';

/** How a column's JSON is to be read: `json` keeps the JSON text itself. */
export type ValueForm = 'plain' | 'json' | 'time' | 'array' | 'time-array';

/** @param typeName pg_type.typname, `_int8` for an array of int8 */
export function valueForm(typeName: string): ValueForm {
  if (typeName === 'json' || typeName === 'jsonb') return 'json';
  if (typeName === 'timestamp' || typeName === 'timestamptz') return 'time';
  if (typeName === '_timestamp' || typeName === '_timestamptz') return 'time-array';
  return typeName.startsWith('_') ? 'array' : 'plain';
}

/** @throws SyntaxError when `json` is not one JSON value */
export function valueText(json: string, form: ValueForm): string | null {
  if (json === 'null') return null;
  if (form === 'json') return json;
  if (json.startsWith('[') && form !== 'plain') {
    const element: ValueForm = form === 'time-array' ? 'time' : 'plain';
    return `{${arrayElements(json)
      .map((each) => elementText(valueText(each, element)))
      .join(',')}}`;
  }
  if (!json.startsWith('"')) return json;
  const text = JSON.parse(json) as string;
  return form === 'time' ? timeText(text) : text;
}

function elementText(text: string | null): string {
  return text === null ? 'NULL' : `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** `-0043-03-15T12:00:00Z` (astronomical years: 0 is 1 BC) to `0044-03-15 12:00:00+00 BC`. */
function timeText(text: string): string {
  const match = /^(-?)(\d+)(-\d\d-\d\d)T([\d:.]+)(Z?)$/.exec(text);
  if (!match) return text;
  const [, minus, digits = '', date, time, zone] = match;
  const year = Number(digits);
  const before = minus === '-' || year === 0;
  const shown = String(before ? year + 1 : year).padStart(4, '0');
  return `${shown}${date} ${time}${zone === 'Z' ? '+00' : ''}${before ? ' BC' : ''}`;
}
