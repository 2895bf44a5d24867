/**
 * Why a changefeed ended. CockroachDB gives most of its reasons no SQLSTATE (XXUUU), so they are told by their text, as
 * versions 22.1 to 26 write it; what is not recognised goes by the general table of errors.
 */
import { ConfigurationError } from '../core/errors.js';
import { classify, sqlstateOf } from '../core/policy.js';
import { CursorTooOldError, RangefeedsOffError, SchemaChangedError } from './catchup-errors.js';

export type Ending =
  /** Columns changed at `at` (decimal HLC): the feed goes on from the last resolved mark with the new shape. */
  | { readonly kind: 'columns'; readonly at: string }
  /** The table with this bare name was emptied by TRUNCATE: no cursor before that can be used for it again. */
  | { readonly kind: 'truncated'; readonly table: string }
  /** The statement is not understood in this form. */
  | { readonly kind: 'syntax' }
  /** Nothing is lost: connect again, after a back-off. */
  | { readonly kind: 'retry'; readonly hint: string }
  /** Going on is impossible, or would lose changes. */
  | { readonly kind: 'fatal'; readonly error: unknown };

/** @param cursor the position from which the feed was to start, for messages */
export function endingOf(error: unknown, cursor: string): Ending {
  const message = error instanceof Error ? error.message : String(error);
  const sqlstate = sqlstateOf(error);
  const at = sqlstate === '55C01' ? /\bat (\d+(?:\.\d+)?)/.exec(message)?.[1] : undefined;
  if (at !== undefined) return { kind: 'columns', at };
  if (sqlstate === '42601') return { kind: 'syntax' };
  if (sqlstate === '42501') return { kind: 'fatal', error: missingPrivilege(message, error) };
  if (/must be after replica GC threshold/.test(message))
    return { kind: 'fatal', error: new CursorTooOldError(cursor, error) };
  if (/rangefeeds require the kv\.rangefeed\.enabled setting/.test(message))
    return { kind: 'fatal', error: new RangefeedsOffError(error) };
  const truncated = /^"(.*)" was truncated/s.exec(message);
  if (truncated) return { kind: 'truncated', table: truncated[1] as string };
  const gone = /^"(.*)" was dropped/s.exec(message);
  if (gone) return fatalSchema(`The followed table ${gone[1]} was dropped on the secondary.`, error);
  if (/failed to resolve targets/.test(message)) {
    return fatalSchema(`A followed table is not on the secondary at position ${cursor}: ${message}.`, error);
  }
  if (/column famil(?:y|ies)/.test(message))
    return fatalSchema(`A followed table has several column families: ${message}.`, error);
  if (/cannot specify timestamp in the future/.test(message)) {
    return {
      kind: 'fatal',
      error: new ConfigurationError(`The stored position ${cursor} lies in the future of the secondary's clock.`, {
        code: 'cursor-in-future',
        remedy: 'Check that the secondary is the database that the position was taken from, and its clock.',
        cause: error,
      }),
    };
  }
  const verdict = classify(error);
  if (verdict.action === 'retry' || verdict.action === 'reread-checkpoint')
    return { kind: 'retry', hint: verdict.hint };
  return { kind: 'fatal', error };
}

function fatalSchema(message: string, cause: unknown): Ending {
  return { kind: 'fatal', error: new SchemaChangedError(message, cause) };
}

function missingPrivilege(message: string, cause: unknown): ConfigurationError {
  return new ConfigurationError(`The secondary refuses a changefeed: ${message}.`, {
    code: 'changefeed-privilege',
    remedy:
      'Run on the secondary, for the role of DATABASE_URL_SECONDARY: ALTER USER role CONTROLCHANGEFEED (up to 22.1), or GRANT CHANGEFEED, SELECT ON TABLE each_table TO role',
    cause,
  });
}
