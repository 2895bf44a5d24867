/**
 * PostgreSQL on the left, CockroachDB on the right: per type, two expressions that print one text for one value. The
 * text is PostgreSQL's own wherever CockroachDB can be brought to it at little cost.
 */
import type { Conversion } from '../schema/mapped-type.js';
import { type TypeModel, undomained } from '../schema/model.js';
import { arrayPair, bounds } from './canonical-arrays.js';
import { cockroachJsonText, jsonAsJsonb } from './canonical-json.js';
import { decimalText, float4Text, float8Text, floatText, inetText, timestampText } from './canonical-numbers.js';
import { type Form, piece } from './form.js';

const asText = (value: string): string => `(${value})::text`;
const asString = (value: string): string => `(${value})::STRING`;
const hex = (value: string): string => `encode(${value}, 'hex')`;
/** concat() prints as the server sends, which not every cast to text does. A row of nothing but NULLs is no NULL. */
const asSent = (value: string): string => `CASE WHEN ${value} IS DISTINCT FROM NULL THEN concat(${value}) END`;

const SAME: Form = { primary: asText, secondary: asString, pieces: 'any', doubt: null };
const SAME_PLAIN: Form = { ...SAME, pieces: 'plain' };

const JSON_DOUBT =
  'a JSON number that was written on CockroachDB itself with an exponent (1E+21), or as -0, prints differently there until the stream writes the row';
const UNPROVEN = 'its text on CockroachDB is not known to be the same';

const PLAIN = new Set(['int2', 'int4', 'int8', 'oid', 'bool', 'uuid', 'date', 'time', 'interval']);
const TEXTS = new Set(['text', 'varchar', 'name', 'char', 'bit', 'varbit', 'citext', 'ltree']);

const FORMS: Readonly<Record<string, Form>> = {
  numeric: { primary: asText, secondary: decimalText, pieces: 'plain', doubt: null },
  float4: { primary: float4Text, secondary: floatText, pieces: 'plain', doubt: null },
  float8: { primary: float8Text, secondary: floatText, pieces: 'plain', doubt: null },
  bpchar: { primary: asText, secondary: (value) => `rtrim(${asString(value)}, ' ')`, pieces: 'any', doubt: null },
  bytea: { primary: hex, secondary: hex, pieces: 'any', doubt: null },
  timestamp: {
    primary: asText,
    secondary: (value) => timestampText(value, value, 'TIMESTAMP'),
    pieces: 'plain',
    doubt: null,
  },
  timestamptz: {
    primary: (value) => `((${value}) AT TIME ZONE 'UTC')::text`,
    secondary: (value) => timestampText(value, `(${value}) AT TIME ZONE 'UTC'`, 'TIMESTAMPTZ'),
    pieces: 'plain',
    doubt: null,
  },
  timetz: {
    primary: asText,
    // CockroachDB casts to 12:00:00+05:30:00.
    secondary: (value) => `regexp_replace(${asString(value)}, '(:00){1,2}$', '')`,
    pieces: 'plain',
    doubt: null,
  },
  inet: {
    primary: inetText,
    secondary: (value) => `host(${value}) || '/' || masklen(${value})::STRING`,
    pieces: 'plain',
    doubt: null,
  },
  jsonb: { primary: cockroachJsonText, secondary: asString, pieces: 'marked', doubt: JSON_DOUBT },
};

const CONVERTED: Partial<Record<Conversion, Form>> = {
  text: { ...SAME, primary: asSent },
  money: { primary: (value) => `(${value})::numeric::text`, secondary: decimalText, pieces: 'plain', doubt: null },
  hstore: {
    primary: (value) => cockroachJsonText(`(${value})::jsonb`),
    secondary: asString,
    pieces: 'marked',
    doubt: null,
  },
};

const JSON_FORM: Form = {
  // What jsonb does not take is not on the secondary either: the stream refuses it.
  primary: (value) => `coalesce(${cockroachJsonText(jsonAsJsonb(value))}, (${value})::text)`,
  secondary: asString,
  pieces: 'marked',
  doubt: JSON_DOUBT,
};

export function cockroachPair(type: TypeModel, convert: Conversion): Form {
  const converted = CONVERTED[convert];
  if (converted) return converted;
  if (type.kind === 'domain' && type.base) return cockroachPair(type.base, convert);
  if (type.kind === 'array' && type.element) return arrayForm(type.element, convert);
  if (convert === 'json') return JSON_FORM;
  if (type.kind === 'enum' || TEXTS.has(type.name)) return SAME;
  if (PLAIN.has(type.name)) return SAME_PLAIN;
  return FORMS[type.name] ?? { ...SAME, doubt: UNPROVEN };
}

/** A cast to text[] strips the blanks, as the stream's cast on CockroachDB does. */
const CHARACTERS: Form = {
  ...SAME,
  primary: (value) => `(${value})::text[]::text`,
  doubt: 'an element that was written on CockroachDB itself may have blanks at its end until the stream writes the row',
};

function arrayForm(type: TypeModel, convert: Conversion): Form {
  const own = arrayPair(undomained(type).name);
  if (own) return own;
  const element = cockroachPair(type, convert);
  if (element === FORMS.bpchar) return CHARACTERS;
  // Both quote an element alike.
  if (element === FORMS.bytea || (element.primary === asText && element.secondary === asString))
    return { ...SAME, doubt: element.doubt };
  return subqueryForm(element);
}

/** Element by element on both sides: slow on CockroachDB, see canonical-arrays. */
function subqueryForm(element: Form): Form {
  const joined = (text: string, value: string) =>
    `coalesce((SELECT string_agg(${piece(text, element.pieces)}, '' ORDER BY u.i) FROM unnest(${value}) WITH ORDINALITY AS u(e, i)), '')`;
  return {
    primary: (value) =>
      `CASE WHEN ${value} IS NOT NULL THEN ${bounds(value)} || ';' || ${joined(element.primary('u.e'), value)} END`,
    // CockroachDB cannot plan a subquery inside CASE; the number is NULL for NULL.
    secondary: (value) => `cardinality(${value})::STRING || ';' || ${joined(element.secondary('u.e'), value)}`,
    pieces: element.pieces === 'any' ? 'any' : 'marked',
    doubt: element.doubt,
  };
}
