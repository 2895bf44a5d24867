import { WRITER_SQL } from '../core/writer.js';

/**
 * One text form per value: every session that reads values from the primary (walsender, chunk reader, verify) runs with
 * these settings, whatever role, database or server defaults say.
 */
const TEXT_FORM_SETTINGS: ReadonlyArray<readonly [name: string, value: string]> = [
  ['DateStyle', 'ISO, MDY'],
  ['IntervalStyle', 'postgres'],
  ['TimeZone', 'UTC'],
  ['extra_float_digits', '1'],
  ['bytea_output', 'hex'],
  ['lc_monetary', 'C'],
  ['xmloption', 'content'],
  ['client_encoding', 'UTF8'],
];

export const TEXT_FORM_SQL = TEXT_FORM_SETTINGS.map(([name, value]) => `SET ${name} = '${value}'`).join('; ');

/**
 * What ordinary sessions on the primary run first: values as above, and let through by a fence. Row security that hides
 * rows from our role must be an error: a load would leave those rows out, and a comparison delete them.
 */
export const SOURCE_SESSION_SQL = `${TEXT_FORM_SQL}; SET row_security = off; ${WRITER_SQL}`;
