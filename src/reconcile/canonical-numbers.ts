/** Numbers, times and addresses of PostgreSQL and CockroachDB in one form. Each function yields SQL from SQL. */

/**
 * CockroachDB: a DECIMAL as PostgreSQL prints it: digits and point, never an exponent, with its trailing zeros, and no
 * negative zero.
 */
export function decimalText(value: string): string {
  const text = `(${value})::STRING`;
  const sign = `CASE WHEN (${value}) < 0 THEN '-' ELSE '' END`;
  const mantissa = (mark: string) => `ltrim(split_part(${text}, '${mark}', 1), '-')`;
  const power = (mark: string) => `split_part(${text}, '${mark}', 2)::INT8`;
  const digits = (mark: string) => `replace(${mantissa(mark)}, '.', '')`;
  return `CASE
WHEN ${text} NOT LIKE '%E%' AND ${text} NOT LIKE '-0%' THEN ${text}
WHEN (${value}) = 0 THEN CASE WHEN ${text} LIKE '%E-%' THEN '0.' || repeat('0', ${power('E-')}) WHEN ${text} LIKE '%E+%' THEN '0' ELSE ltrim(${text}, '-') END
WHEN ${text} LIKE '%E-%' THEN ${sign} || '0.' || repeat('0', ${power('E-')} - 1) || ${digits('E-')}
WHEN ${text} LIKE '%E+%' THEN ${sign} || ${digits('E+')} || repeat('0', ${power('E+')} - length(split_part(${mantissa('E+')}, '.', 2)))
ELSE ${text} END`;
}

/** CockroachDB: the shortest decimal that reads back as the number, whatever extra_float_digits says. */
export function floatText(value: string): string {
  const zero = `CASE WHEN (${value})::STRING LIKE '-%' THEN '-0' ELSE '0' END`;
  return `CASE WHEN (${value}) = 0 THEN ${zero} ELSE ${decimalText(`(${value})::DECIMAL`)} END`;
}

/** PostgreSQL: the same digits; a FLOAT4 of CockroachDB holds the decimal text that it was sent. */
export function float4Text(value: string): string {
  return `CASE WHEN (${value}) = 0 THEN (${value})::text ELSE (${value})::text::numeric::text END`;
}

/**
 * PostgreSQL never prints a decimal that lies exactly half-way to the neighbouring number, though it reads back as this
 * one: 1e23 prints as 9.999999999999999e+22. CockroachDB does. Only whole numbers from 2^54 on can have such a decimal,
 * of at most 16 digits and 10^23 as its greatest power of ten.
 */
export function float8Text(value: string): string {
  const rounded = (digits: number) => `to_char(${value}, '9.${'9'.repeat(digits - 1)}EEEE')`;
  return `CASE
WHEN (${value}) = 0 THEN (${value})::text
WHEN abs(${value}) BETWEEN 1.8e16 AND 1e40 AND ${rounded(15)}::float8 = (${value}) THEN ${rounded(15)}::numeric::text
WHEN abs(${value}) BETWEEN 1.8e16 AND 1e40 AND ${rounded(16)}::float8 = (${value}) THEN ${rounded(16)}::numeric::text
ELSE (${value})::text::numeric::text END`;
}

/**
 * CockroachDB: its cast prints years before Christ as negative ones, and 22.1 prints its infinity as the finite value that
 * stands for it.
 * @param utc the same moment as a TIMESTAMP
 */
export function timestampText(value: string, utc: string, type: 'TIMESTAMP' | 'TIMESTAMPTZ'): string {
  const constant = (text: string) => `'${text}'::${type}`;
  return `CASE
WHEN (${value}) >= ${constant('0001-01-01 00:00:00+00')} AND (${value}) < ${constant('infinity')} THEN (${utc})::STRING
WHEN (${value}) = ${constant('infinity')} THEN 'infinity'
WHEN (${value}) = ${constant('-infinity')} THEN '-infinity'
ELSE replace((${utc})::DATE::STRING, ' BC', '') || ' ' || (${utc})::TIME::STRING || ' BC' END`;
}

/** PostgreSQL: `::102:304/128` for `::1.2.3.4`, as CockroachDB has it. The network's length is always there. */
export function inetText(value: string): string {
  const host = `host(${value})`;
  const part = (index: number) => `split_part(substr(${host}, 3), '.', ${index})::int`;
  const word = (index: number) => `to_hex(${part(index)} * 256 + ${part(index + 1)})`;
  const address = `CASE WHEN ${host} ~ '^::[0-9]+[.]' THEN '::' || ${word(1)} || ':' || ${word(3)} ELSE ${host} END`;
  return `${address} || '/' || masklen(${value})`;
}
