/**
 * Until every key that was written on a fenced secondary is in the journal, or its table marked as a whole: the change
 * source tells when it has come so far, and where its word takes seconds (CockroachDB) the rows themselves are asked at the
 * same time. Whichever is done first is enough; what cannot be read leaves the waiting.
 */
import type { Link } from '../meta/target-link.js';
import { type CatchupRow, isMerged } from './catchup-store.js';
import type { Following } from './following.js';
import type { Journal, TouchedKey } from './journal.js';
import type { MergeContext } from './merge-tail.js';
import type { RecoveryOptions } from './options.js';
import { readRecent } from './recent-changes.js';

export interface WholeParts {
  readonly following: Following;
  readonly journal: Journal;
  readonly link: Link;
  readonly options: RecoveryOptions;
}

/** @param row position and completeness of the journal in one look: up to there nothing is missing from it */
export async function journalIsWhole(
  { following, journal, link, options }: WholeParts,
  row: CatchupRow,
  { fence, tables }: Pick<MergeContext, 'fence' | 'tables'>,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const followed = following.caughtUp(either);
  followed.catch(() => undefined);
  try {
    if (tables.dialect !== 'cockroach' || !isMerged(row, fence)) return await followed;
    const found = (keys: readonly TouchedKey[]) => link.with((session) => session.run(journal.touched(keys, true)));
    const begun = options.clock.monotonic();
    const read = readRecent(options, { tables: tables.ordered, since: row.position, found, signal: either });
    read.then(
      () => {
        const tookMs = Math.round(options.clock.monotonic() - begun);
        if (!either.aborted) options.log.info({ since: row.position, tookMs }, 'The last changes were read');
      },
      (error: unknown) => {
        if (either.aborted) return;
        options.log.info({ err: error }, 'The last changes cannot be read: the mark behind them is waited for');
      },
    );
    await Promise.any([followed, read]).catch(() => followed);
  } finally {
    over.abort(new Error('The journal is whole'));
  }
}
