/**
 * The row of `db_redundancy.catchup`: what a recovery has reached. It belongs to one process at a time: each statement
 * names its owner, so that a former controller that wakes up can change nothing any more.
 */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn, parseLsn } from '../core/lsn.js';
import type { Link } from '../meta/target-link.js';
import { inTransaction } from './connections.js';
import type { RecoveryPhase } from './recovery.js';
import { RecoveryEndedError } from './recovery-errors.js';

export interface TailProgress {
  /** Null before the first step: then the checkpoint says where the tail begins. */
  readonly lsn: Lsn | null;
  /** Changes of the transaction behind `lsn` that are merged already. */
  readonly changes: number;
}

export interface CatchupRow {
  readonly failoverEpoch: number;
  readonly position: string;
  readonly journalComplete: boolean;
  readonly tail: TailProgress;
  readonly mergedLsn: Lsn | null;
  readonly compared: readonly string[];
  readonly phase: RecoveryPhase | 'handed-back';
}

const FIELDS = `failover_epoch::text, source_position, journal_complete::text, tail_lsn, tail_changes::text, merged_lsn, compared, phase`;

export class CatchupStore {
  readonly #stream: string;
  readonly #owner: string;
  #claimed = false;

  constructor(stream: string, owner: string) {
    this.#stream = stream;
    this.#owner = owner;
  }

  async read(session: TargetSession): Promise<CatchupRow | null> {
    const text = `SELECT ${FIELDS} FROM db_redundancy.catchup WHERE stream = $1`;
    return parse((await session.run({ text, values: [this.#stream] })).rows[0]);
  }

  /** Inside a transaction: the row, locked. Throws a RecoveryEndedError when it is another's. */
  async lock(session: TargetSession): Promise<CatchupRow> {
    const text = `SELECT ${FIELDS} FROM db_redundancy.catchup WHERE stream = $1 AND owner = $2 FOR UPDATE`;
    const row = parse((await session.run({ text, values: [this.#stream, this.#owner] })).rows[0]);
    if (!row) throw notOurs();
    return row;
  }

  /**
   * The recovery is this object's from the first call on; a later one throws a RecoveryEndedError when it is another's
   * by then. Null when there is none.
   */
  async claim(link: Link): Promise<CatchupRow | null> {
    if (!this.#claimed) {
      const text = 'UPDATE db_redundancy.catchup SET owner = $2, updated_at = now() WHERE stream = $1';
      const { rowCount } = await link.run(text, [this.#stream, this.#owner]);
      if (rowCount === 0) return null;
      this.#claimed = true;
    }
    return inTransaction(link, (session) => this.lock(session));
  }

  /** At a failover. An unfinished recovery keeps its journal and its position. */
  async begin(session: TargetSession, failoverEpoch: number, position: string): Promise<void> {
    await session.run({
      text: `INSERT INTO db_redundancy.catchup (stream, failover_epoch, owner, source_position, phase) VALUES ($1, $2::int8, $3, $4, 'following')
        ON CONFLICT (stream) DO UPDATE SET failover_epoch = excluded.failover_epoch, owner = excluded.owner, source_position = excluded.source_position,
          journal_complete = true, tail_lsn = NULL, tail_changes = 0, merged_lsn = NULL, compared = '[]', phase = 'following', updated_at = now()`,
      values: [this.#stream, String(failoverEpoch), this.#owner, position],
    });
    this.#claimed = true;
  }

  async setEpoch(session: TargetSession, failoverEpoch: number): Promise<void> {
    await this.#update(session, 'failover_epoch = $3::int8', [String(failoverEpoch)]);
  }

  async setPosition(session: TargetSession, position: string): Promise<void> {
    await this.#update(session, 'source_position = $3', [position]);
  }

  /** Changes were missed: following begins anew, and the journal is no evidence any more. */
  async setGap(session: TargetSession, position: string): Promise<void> {
    // The list of compared tables begins with the gap, so that what was compared before it is not taken for done.
    const set = 'source_position = $3, journal_complete = false, merged_lsn = NULL, compared = $4';
    await this.#update(session, set, [position, JSON.stringify([`gap at ${position}`])]);
  }

  async setTail(session: TargetSession, tail: TailProgress): Promise<void> {
    const values = [tail.lsn === null ? null : formatLsn(tail.lsn), String(tail.changes)];
    await this.#update(session, 'tail_lsn = $3, tail_changes = $4::int8', values);
  }

  async setMerged(session: TargetSession, fence: Lsn): Promise<void> {
    await this.#update(session, `merged_lsn = $3, tail_lsn = $3, tail_changes = 0, compared = '[]'`, [
      formatLsn(fence),
    ]);
  }

  async setCompared(session: TargetSession, tables: readonly string[]): Promise<void> {
    await this.#update(session, 'compared = $3', [JSON.stringify(tables)]);
  }

  async setPhase(session: TargetSession, phase: CatchupRow['phase']): Promise<void> {
    await this.#update(session, 'phase = $3', [phase]);
  }

  async #update(session: TargetSession, set: string, values: readonly (string | null)[]): Promise<void> {
    const text = `UPDATE db_redundancy.catchup SET ${set}, updated_at = now() WHERE stream = $1 AND owner = $2`;
    const { rowCount } = await session.run({ text, values: [this.#stream, this.#owner, ...values] });
    if (rowCount === 0) throw notOurs();
  }
}

/** Everything that the primary committed before the fence is merged, or was compared. */
export function isMerged(row: CatchupRow, fence: Lsn): boolean {
  return row.mergedLsn !== null && row.mergedLsn >= fence;
}

function notOurs(): RecoveryEndedError {
  return new RecoveryEndedError('Another process has taken the recovery over, or it is finished.');
}

function parse(row: Record<string, string | null> | undefined): CatchupRow | null {
  if (!row) return null;
  return {
    failoverEpoch: Number(row.failover_epoch),
    position: row.source_position ?? '',
    journalComplete: row.journal_complete === 'true',
    tail: { lsn: row.tail_lsn ? parseLsn(row.tail_lsn) : null, changes: Number(row.tail_changes) },
    mergedLsn: row.merged_lsn ? parseLsn(row.merged_lsn) : null,
    compared: JSON.parse(row.compared ?? '[]') as string[],
    phase: row.phase as CatchupRow['phase'],
  };
}
