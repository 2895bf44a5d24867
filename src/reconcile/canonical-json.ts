/**
 * A jsonb of PostgreSQL as the text that CockroachDB prints for the same value, in SQL: members by name instead of by
 * length, tiny numbers with an exponent, no short escapes for backspace and form feed. CockroachDB cannot take a document
 * apart in an expression, so PostgreSQL has to come to its form. Most values need no recursion, and get none.
 */

/**
 * JSON text holds no bare control character, so chr(1) can stand in for an escaped backslash while `\b` and `\f` are
 * rewritten.
 */
function escapes(text: string): string {
  const masked = `replace(${text}, '\\\\', chr(1))`;
  return `replace(replace(replace(${masked}, '\\b', '\\u0008'), '\\f', '\\u000c'), chr(1), '\\\\')`;
}

/** `0.00000012` to `1.2E-7`, as CockroachDB's decimals print from the seventh place on. `text` stands in it several times. */
export function tinyNumber(text: string): string {
  const digits = `split_part(${text}, '.', 2)`;
  const coefficient = `coalesce(nullif(ltrim(${digits}, '0'), ''), '0')`;
  const sign = `CASE WHEN ${text} LIKE '-%' THEN '-' ELSE '' END`;
  const rest = `CASE WHEN length(${coefficient}) > 1 THEN '.' || substr(${coefficient}, 2) ELSE '' END`;
  const exponent = `length(${digits}) + 1 - length(${coefficient})`;
  return `${sign} || left(${coefficient}, 1) || ${rest} || 'E-' || (${exponent})`;
}

const TINY = `'^-?0\\.0{6}[0-9]'`;

/**
 * Every node of the document with the names and numbers that lead to it, parents first, members by name: read in that
 * order they are the text, with what each node opens before it and all that ends with it behind it.
 */
function recursive(value: string): string {
  const node = `
WITH RECURSIVE node(path, v, kind, head, closing) AS (
  SELECT ARRAY[]::text[] COLLATE "C", ${value}, jsonb_typeof(${value}), ''::text, ''::text
  UNION ALL
  SELECT n.path || c.step, c.v, jsonb_typeof(c.v), c.head, CASE n.kind WHEN 'object' THEN '}' ELSE ']' END || n.closing
  FROM node AS n CROSS JOIN LATERAL (
    SELECT m.key COLLATE "C", m.value, to_json(m.key)::text || ': ' FROM jsonb_each(CASE n.kind WHEN 'object' THEN n.v END) AS m
    UNION ALL
    SELECT lpad(e.no::text, 10, '0'), e.value, '' FROM jsonb_array_elements(CASE n.kind WHEN 'array' THEN n.v END) WITH ORDINALITY AS e(value, no)
  ) AS c(step, v, head) WHERE n.kind IN ('object', 'array'))`;
  const leaf = `CASE WHEN s.kind = 'number' AND s.plain ~ ${TINY} THEN ${tinyNumber('s.plain')} ELSE s.plain END`;
  const opening = `CASE WHEN s.next > s.depth THEN left(s.plain, 1) ELSE ${leaf} || left(s.closing, s.depth - s.next) END`;
  return `(${node}
SELECT string_agg(CASE WHEN s.depth > s.before OR s.depth = 0 THEN '' ELSE ', ' END || s.head || ${opening}, '' ORDER BY s.path)
FROM (SELECT path, kind, head, closing, cardinality(path) AS depth,
    CASE WHEN kind IN ('object', 'array') THEN CASE WHEN v IN ('{}', '[]') THEN v::text ELSE CASE kind WHEN 'object' THEN '{' ELSE '[' END END ELSE v::text END AS plain,
    coalesce(lag(cardinality(path)) OVER w, -1) AS before, coalesce(lead(cardinality(path)) OVER w, 0) AS next
  FROM node WINDOW w AS (ORDER BY path)) AS s)`;
}

/** One object with nothing but scalars and arrays of them in it. */
function flat(value: string): string {
  const member = `to_json(m.key)::text || ': ' || m.value::text`;
  return `'{' || coalesce((SELECT string_agg(${member}, ', ' ORDER BY m.key COLLATE "C") FROM jsonb_each(${value}) AS m), '') || '}'`;
}

/** @param value a jsonb expression that costs little, on PostgreSQL; NULL stays NULL */
export function cockroachJsonText(value: string): string {
  const text = `(${value})::text`;
  // Tests on the text may be fooled by strings, and then only choose the longer way.
  return escapes(`CASE
WHEN ${text} LIKE '%0.000000%' OR ${text} LIKE '%{%{%' OR ${text} LIKE '[%{%' THEN ${recursive(value)}
WHEN ${text} LIKE '{%' THEN ${flat(value)}
ELSE ${text} END`);
}

/**
 * A json column's text as jsonb, on PostgreSQL; NULL where jsonb does not take it. The stream refuses those values, see
 * json-form, so the secondary does not have them.
 */
export function jsonAsJsonb(value: string): string {
  const masked = `replace((${value})::text, '\\\\', chr(1))`;
  const halves = `regexp_replace(${masked}, '\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}', '', 'g') ~ '\\\\u([dD][89a-fA-F]|0000)'`;
  const outside = `regexp_replace(${masked}, '"([^"\\\\]|\\\\.)*"', '', 'g') ~ '[eE][+-]?0*[1-9][0-9]{4}'`;
  return `CASE WHEN ((${value})::text LIKE '%\\\\u%' AND ${halves}) OR ((${value})::text ~ '[eE][+-]?[0-9]{5}' AND ${outside}) THEN NULL ELSE (${value})::jsonb END`;
}
