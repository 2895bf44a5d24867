/** Reads the checkpoint and all tables of the secondary in one snapshot, again and again, as any application may. */
import pg from 'pg';
import { RAW_TEXT_TYPES } from '../../../src/core/raw-types.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import type { TableState } from './oracle.js';

export interface Read {
  readonly lsn: string;
  readonly state: TableState;
  /** At the present time, not of a moment ago. */
  readonly current: boolean;
}

/** How a transaction gets one snapshot for all of its statements; they take turns. */
const BEGIN: Readonly<Record<SecondaryDialect, readonly { sql: string; current: boolean }[]>> = {
  postgres: [{ sql: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', current: true }],
  cockroach: [
    { sql: 'BEGIN ISOLATION LEVEL SERIALIZABLE', current: true },
    { sql: `BEGIN AS OF SYSTEM TIME '-1us'`, current: false },
  ],
};

const CHECKPOINT = 'SELECT lsn FROM db_redundancy.checkpoint';

export class SnapshotReader implements AsyncDisposable {
  readonly reads: Read[] = [];
  /** Reads that the secondary refused for a conflict with the stream: what a serializable database may do. */
  refused = 0;
  /** Different checkpoints that were read. */
  readonly moments = new Set<string>();
  ended = false;
  readonly #client: pg.Client;
  readonly #ways: readonly { sql: string; current: boolean }[];
  readonly #tables: Readonly<Record<string, readonly string[]>>;
  #turn = 0;

  private constructor(
    client: pg.Client,
    dialect: SecondaryDialect,
    tables: Readonly<Record<string, readonly string[]>>,
  ) {
    this.#client = client;
    this.#ways = BEGIN[dialect];
    this.#tables = tables;
  }

  static async connect(
    url: string,
    dialect: SecondaryDialect,
    tables: Readonly<Record<string, readonly string[]>>,
  ): Promise<SnapshotReader> {
    const client = new pg.Client({ connectionString: url, types: RAW_TEXT_TYPES } as pg.ClientConfig);
    client.on('error', () => undefined);
    await client.connect();
    return new SnapshotReader(client, dialect, tables);
  }

  /** Reads until `done`, and once more then. */
  async readUntil(done: () => boolean): Promise<void> {
    try {
      for (let last = false; !last; ) {
        last = done();
        await this.read();
      }
    } finally {
      this.ended = true;
    }
  }

  async read(): Promise<void> {
    const { sql, current } = this.#ways[this.#turn % this.#ways.length] as { sql: string; current: boolean };
    // The checkpoint comes first or last: a snapshot that is none shows in either order.
    const checkpointFirst = this.#turn % 4 < 2;
    this.#turn += 1;
    try {
      await this.#client.query(sql);
      let lsn = checkpointFirst ? await this.#checkpoint() : '';
      const state: Record<string, string[]> = {};
      for (const [table, columns] of Object.entries(this.#tables)) {
        const { rows } = await this.#client.query<unknown[]>({
          text: `SELECT ${columns.join(', ')} FROM ${table}`,
          rowMode: 'array',
        });
        state[table] = rows.map((row) => JSON.stringify(row)).sort();
      }
      if (!checkpointFirst) lsn = await this.#checkpoint();
      await this.#client.query('COMMIT');
      this.reads.push({ lsn, state, current });
      this.moments.add(lsn);
    } catch (error) {
      if ((error as { code?: string }).code !== '40001') throw error;
      this.refused += 1;
      await this.#client.query('ROLLBACK');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }

  async #checkpoint(): Promise<string> {
    const { rows } = await this.#client.query<{ lsn: string }>(CHECKPOINT);
    return rows[0]?.lsn ?? '';
  }
}
