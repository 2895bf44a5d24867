/** What the tests of change sources share: a source on a fresh database, and a consumer that keeps what it was given. */

import {
  type CatchUpEvent,
  type ChangedRow,
  type ChangeSource,
  MAX_EVENT_ROWS,
  type SchemaChangedEvent,
} from '../../src/catchup/change-source.js';
import { CockroachSource, type CockroachSourceLimits, cockroachPosition } from '../../src/catchup/cockroach-source.js';
import { clientConfig } from '../../src/config/client-config.js';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { systemClock } from '../../src/core/clock.js';
import { displayName, type TableName } from '../../src/core/ident.js';
import { createDatabasePair } from '../harness/cluster.js';
import { query } from '../harness/sql.js';
import { TestLog } from './support/stream.js';

export function connectionOf(url: string) {
  return clientConfig(parseDatabaseUrl(url));
}

export function publicTable(name: string): TableName {
  return { schema: 'public', name };
}

/** Reconnects quickly. `log` keeps what the source had to say. */
export function cockroachSource(
  url: string,
  tables: readonly TableName[],
  position: string,
  limits: Partial<CockroachSourceLimits> = {},
): CockroachSource & { log: TestLog } {
  const log = new TestLog();
  const source = new CockroachSource({
    connection: connectionOf(url),
    tables,
    position,
    clock: systemClock,
    log,
    limits: { backoffMs: { initial: 5, max: 50 }, ...limits },
  });
  return Object.assign(source, { log });
}

/** A fresh database on CockroachDB with `ddl` run, and where it is then. */
export async function startedCockroach(ddl: string) {
  const pair = await createDatabasePair('catchup', 'cockroach');
  const { url } = pair.secondary;
  await query(url, ddl);
  const position = await cockroachPosition(connectionOf(url));
  return {
    pair,
    url,
    position,
    sql: (text: string, params?: readonly unknown[]) => query(url, text, params),
    [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
  };
}

/** Takes events and checks what holds for every source: size of portions, positions that rise, order of each key. */
export class Consumer {
  readonly rows: ChangedRow[] = [];
  readonly schema: SchemaChangedEvent[] = [];
  readonly latest = new Map<string, ChangedRow>();
  readonly #source: ChangeSource;
  position: string | null = null;

  constructor(source: ChangeSource) {
    this.#source = source;
  }

  static id({ table, key }: Pick<ChangedRow, 'table' | 'key'>): string {
    return `${displayName(table)} ${JSON.stringify(Object.values(key))}`;
  }

  /** The row of a table by its key's texts. */
  row(table: string, ...key: readonly string[]): ChangedRow | undefined {
    return this.latest.get(`${table} ${JSON.stringify(key)}`);
  }

  async take(): Promise<CatchUpEvent> {
    const event = await this.#source.next();
    if (event === null) throw new Error('The source was closed');
    if (event.kind === 'schema-changed') this.schema.push(event);
    else if (event.kind === 'resolved') {
      if (this.position !== null && this.#source.comparePositions(event.position, this.position) <= 0)
        throw new Error(`Position ${event.position} after ${this.position}`);
      this.position = event.position;
    } else {
      if (event.rows.length === 0 || event.rows.length > MAX_EVENT_ROWS) throw new Error(`${event.rows.length} rows`);
      for (const row of event.rows) this.#keep(row);
    }
    return event;
  }

  /** Everything committed on the secondary before the call has come. */
  async caughtUp(): Promise<void> {
    const goal = await this.#source.now();
    await this.until(() => this.position !== null && this.#source.comparePositions(this.position, goal) >= 0);
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.take();
  }

  #keep(row: ChangedRow): void {
    const id = Consumer.id(row);
    const before = this.latest.get(id);
    if (before && this.#source.comparePositions(row.at, before.at) < 0)
      throw new Error(`${id} went back from ${before.at} to ${row.at}`);
    this.rows.push(row);
    this.latest.set(id, row);
  }
}
