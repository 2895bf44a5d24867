/**
 * Arrays whose elements PostgreSQL and CockroachDB print differently. CockroachDB would run a subquery over the elements as
 * a plan of its own for every row, some hundred times slower than a cast of the whole array; so here PostgreSQL prints
 * each element as that cast does. The text is the number of elements, then each with a bar behind it.
 */
import { tinyNumber } from './canonical-json.js';
import { float4Text, float8Text } from './canonical-numbers.js';
import type { Form } from './form.js';

interface ElementForm {
  /** PostgreSQL: an element as CockroachDB casts it to STRING. */
  readonly primary: (element: string) => string;
  /** CockroachDB: the array as one whose elements print like that. */
  readonly secondary?: (array: string) => string;
  /** CockroachDB: what is left to be done to the text of all of them. */
  readonly mend?: (text: string) => string;
  readonly doubt?: string;
}

const DECIMAL_DOUBT =
  'a number that was written on CockroachDB itself with an exponent (1E+21), or as -0, prints differently in an array until the stream writes the row';

const ELEMENTS: Readonly<Record<string, ElementForm>> = {
  numeric: { primary: (element) => tinyOrPlain(`(${element})::text`), doubt: DECIMAL_DOUBT },
  float4: { primary: (element) => scientific(float4Text(element)), secondary: asDecimals },
  float8: { primary: (element) => scientific(float8Text(element)), secondary: asDecimals },
  timestamp: { primary: (element) => astronomical(element, ''), mend: (text) => infinities(text, '') },
  timestamptz: {
    primary: (element) => astronomical(`(${element}) AT TIME ZONE 'UTC'`, '+00:00'),
    mend: (text) => infinities(text, '+00:00'),
  },
  timetz: {
    primary: (element) =>
      `regexp_replace(regexp_replace((${element})::text, '([+-][0-9]{2})$', '\\1:00'), '([+-][0-9]{2}:[0-9]{2})$', '\\1:00')`,
  },
};

/** Null for an element that needs none of this. */
export function arrayPair(elementName: string): Form | null {
  const form = ELEMENTS[elementName];
  if (!form) return null;
  const { primary, secondary = (array) => array, mend = (text) => text } = form;
  return {
    primary: (value) =>
      `CASE WHEN ${value} IS NOT NULL THEN ${bounds(value)} || ';' || coalesce((SELECT string_agg(coalesce(${primary('u.e')}, 'N') || '|', ',' ORDER BY u.i) FROM unnest(${value}) WITH ORDINALITY AS u(e, i)), '|') END`,
    secondary: (value) => {
      const all = `array_to_string((${secondary(value)})::STRING[], '|,', 'N') || '|'`;
      return `cardinality(${value})::STRING || ';' || ${mend(`(${all})`)}`;
    },
    pieces: 'marked',
    doubt: form.doubt ?? null,
  };
}

/** PostgreSQL: the number of elements; what counts otherwise than from 1, or in two dimensions, has its bounds instead. */
export function bounds(value: string): string {
  return `coalesce(regexp_replace(array_dims(${value}), '^\\[1:([0-9]+)\\]$', '\\1'), '0')`;
}

function asDecimals(array: string): string {
  return `(${array})::DECIMAL[]`;
}

function tinyOrPlain(text: string): string {
  return `CASE WHEN ${text} ~ '^-?0\\.0{6}[0-9]' THEN ${tinyNumber(text)} ELSE ${text} END`;
}

/** The shortest digits of a float as CockroachDB's DECIMAL: `100` is 1E+2, `0.0000001` is 1E-7. `plain` has no exponent. */
function scientific(plain: string): string {
  const whole = `split_part(x.plain, '.', 1)`;
  const zeros = `length(substring(x.plain FROM '0+$'))`;
  const digits = `rtrim(x.plain, '0')`;
  const rest = `CASE WHEN length(${digits}) > 1 THEN '.' || substr(${digits}, 2) ELSE '' END`;
  return `(SELECT x.sign || CASE
WHEN x.plain ~ '^0\\.0{6}' THEN ${tinyNumber('x.plain')}
WHEN x.plain ~ '^[1-9][0-9]*0$' AND ${zeros} > 0 THEN left(${digits}, 1) || ${rest} || 'E+' || (length(${whole}) - 1)
ELSE x.plain END
FROM (SELECT CASE WHEN p.t LIKE '-%' THEN '-' ELSE '' END AS sign, ltrim(p.t, '-') AS plain FROM (SELECT ${plain} AS t OFFSET 0) AS p OFFSET 0) AS x)`;
}

/** PostgreSQL: years before Christ as 0, -1 and so on, as CockroachDB's cast has them. */
function astronomical(element: string, zone: string): string {
  const text = `(${element})::text`;
  const year = `split_part(${text}, '-', 1)::int - 1`;
  const rest = `substr(replace(${text}, ' BC', ''), length(split_part(${text}, '-', 1)) + 1)`;
  return `CASE
WHEN ${text} LIKE '%infinity' THEN ${text}
WHEN ${text} LIKE '% BC' THEN CASE WHEN ${year} = 0 THEN '' ELSE '-' END || lpad((${year})::text, 4, '0') || ${rest} || '${zone}'
ELSE ${text} || '${zone}' END`;
}

/** CockroachDB 22.1 prints its infinities as the finite values that stand for them. */
function infinities(text: string, zone: string): string {
  const least = `replace(${text}, '-4713-11-24 00:00:00${zone}|', '-infinity|')`;
  return `replace(${least}, '294276-12-31 23:59:59.999999${zone}|', 'infinity|')`;
}
