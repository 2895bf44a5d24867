/** Looks at the secondary and the slot all the time, and keeps what it saw for the end, when all outcomes are known. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLsn } from '../../../src/core/lsn.js';
import { query } from '../../harness/sql.js';
import type { Violation } from './checker.js';
import type { DatabaseState } from './history.js';
import { readState, type Scope } from './read-state.js';

const PAUSE_MS = 250;

export interface Observed {
  /** Past all proxies. */
  url(side: 'primary' | 'secondary'): string;
}

export class Observer {
  /** Snapshots of a standby, the latest last. */
  readonly seen: DatabaseState[] = [];
  /** What was wrong at once, whatever the outcomes. */
  readonly wrong: Violation[] = [];
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(databases: Observed, scope: Scope) {
    this.#done = this.#watch(databases, scope);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #watch(databases: Observed, scope: Scope): Promise<void> {
    while (!this.#stopping) {
      // A server that is down, or refuses for a while, is looked at later.
      await this.#look(databases, scope).catch(() => undefined);
      await sleep(PAUSE_MS);
    }
  }

  /** G1 is the stream's: where it leads, and all tables are loaded. So is G2: the slot is read first, and only moves on. */
  async #look(databases: Observed, scope: Scope): Promise<void> {
    const confirmed = await slotPosition(databases.url('primary'));
    const { also, state } = await readState(databases.url('secondary'), scope, async (client) => {
      const { rows } = await client.query<{ standby: boolean; lsn: string }>(
        `SELECT (SELECT state FROM db_redundancy.control) = 'PRIMARY_ACTIVE'
           AND NOT EXISTS (SELECT 1 FROM db_redundancy.tables WHERE state <> 'streaming') AS standby,
           (SELECT lsn FROM db_redundancy.checkpoint) AS lsn`,
      );
      return rows[0];
    });
    if (also?.standby !== true) return;
    this.seen.push(state);
    if (confirmed !== null && parseLsn(confirmed) > parseLsn(also.lsn))
      this.wrong.push({
        guarantee: 'G2',
        what: `the slot was told ${confirmed}, and durable on the secondary is ${also.lsn}`,
      });
  }
}

async function slotPosition(url: string): Promise<string | null> {
  const rows = await query<{ lsn: string | null }>(
    url,
    `SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = 'db_redundancy'`,
  );
  return rows[0]?.lsn ?? null;
}
