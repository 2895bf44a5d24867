/** The database that an import writes to: what it has already, and how it takes a statement together with the progress. */
import { readFile } from 'node:fs/promises';
import pg, { type ClientConfig } from 'pg';
import { dialectOf } from '../apply/dialect.js';
import { quoteLiteral, quoteTable, type TableName } from '../core/ident.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import type { Dialect } from '../schema/capabilities.js';

export interface TargetColumns {
  readonly names: ReadonlySet<string>;
  /** Worked out by the target itself. */
  readonly generated: ReadonlySet<string>;
  /** As a cast needs them; of PostgreSQL only. */
  readonly types: ReadonlyMap<string, string>;
}

export interface Progress {
  readonly statements: number;
  readonly merge: boolean;
  readonly finished: boolean;
}

const PROGRESS_SQL = new URL('../../migrations/secondary/0004_import.sql', import.meta.url);

const POSTGRES_COLUMNS = `
SELECT a.attname::text AS name, (a.attgenerated <> '')::text AS generated, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped`;
const COCKROACH_COLUMNS = `
SELECT column_name AS name, (is_generated = 'ALWAYS')::text AS generated, crdb_sql_type AS type
FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2 AND is_hidden = 'NO'`;

export class ImportTarget {
  readonly #client: pg.Client;
  readonly dialect: Dialect;

  private constructor(client: pg.Client, dialect: Dialect) {
    this.#client = client;
    this.dialect = dialect;
  }

  static async connect(config: ClientConfig): Promise<ImportTarget> {
    const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...config, types: RAW_TEXT_TYPES } as ClientConfig);
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<{ version: string }>('SELECT version()');
    const dialect = dialectOf(rows[0]?.version ?? '');
    await client.query(dialect.sessionSql);
    return new ImportTarget(client, dialect.name);
  }

  /** Null when there is no such table. */
  async columns({ schema, name }: TableName): Promise<TargetColumns | null> {
    const text = this.dialect === 'cockroach' ? COCKROACH_COLUMNS : POSTGRES_COLUMNS;
    const rows = await this.#rows(text, [schema, name]);
    if (rows.length === 0 && !(await this.#exists({ schema, name }))) return null;
    return {
      names: new Set(rows.map((row) => row.name ?? '')),
      generated: new Set(rows.filter((row) => row.generated === 'true').map((row) => row.name ?? '')),
      types: new Map(rows.map((row) => [row.name ?? '', row.type ?? 'text'])),
    };
  }

  async #exists({ schema, name }: TableName): Promise<boolean> {
    const text = 'SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2';
    return (await this.#rows(text, [schema, name])).length > 0;
  }

  async isEmpty(table: TableName): Promise<boolean> {
    return (await this.#rows(`SELECT 1 FROM ${quoteTable(table.schema, table.name)} LIMIT 1`)).length === 0;
  }

  async count(table: TableName): Promise<number> {
    const rows = await this.#rows(`SELECT count(*)::text AS n FROM ${quoteTable(table.schema, table.name)}`);
    return Number(rows[0]?.n);
  }

  /** Null before the first import of this file. Changes nothing. */
  async progress(sha256: string): Promise<Progress | null> {
    if (!(await this.#exists({ schema: 'db_redundancy', name: 'import_progress' }))) return null;
    const text =
      'SELECT statements::text, merge::text, (finished_at IS NOT NULL)::text AS finished FROM db_redundancy.import_progress WHERE sha256 = $1';
    const [row] = await this.#rows(text, [sha256]);
    if (!row) return null;
    return { statements: Number(row.statements), merge: row.merge === 'true', finished: row.finished === 'true' };
  }

  /** The first write. */
  async begin(sha256: string, merge: boolean): Promise<void> {
    await this.#client.query('CREATE SCHEMA IF NOT EXISTS db_redundancy');
    await this.#client.query(await readFile(PROGRESS_SQL, 'utf8'));
    await this.#client.query('DELETE FROM db_redundancy.import_progress WHERE sha256 = $1', [sha256]);
    await this.#client.query('INSERT INTO db_redundancy.import_progress (sha256, merge) VALUES ($1, $2)', [
      sha256,
      String(merge),
    ]);
  }

  async finish(sha256: string): Promise<void> {
    await this.#client.query('UPDATE db_redundancy.import_progress SET finished_at = now() WHERE sha256 = $1', [
      sha256,
    ]);
  }

  /**
   * A statement and the progress behind it, in one transaction: whatever is killed, both have happened or neither. Fails
   * with 22012 when another process has moved the progress.
   * @param position how many statements are done when this one is
   * @returns rows that it wrote
   */
  async write(sql: string, sha256: string, position: number): Promise<number> {
    try {
      const answer: unknown = await this.#client.query(`BEGIN;\n${sql};\n${moved(sha256, position)};\nCOMMIT`);
      return (answer as pg.QueryResult[])[1]?.rowCount ?? 0;
    } catch (error) {
      // Always: the driver reports an error before it knows that the transaction is a failed one.
      await this.#client.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
  }

  /** One that neither may stand in a transaction nor harms when it is repeated. */
  async define(sql: string, sha256: string, position: number): Promise<void> {
    await this.#client.query(sql);
    await this.#client.query(moved(sha256, position));
  }

  async run(sql: string): Promise<void> {
    await this.#client.query(sql);
  }

  async value(text: string, values: readonly string[] = []): Promise<Record<string, string | null> | undefined> {
    return (await this.#rows(text, values))[0];
  }

  async #rows(text: string, values: readonly string[] = []): Promise<Record<string, string | null>[]> {
    return (await this.#client.query<Record<string, string | null>>(text, [...values])).rows;
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}

function moved(sha256: string, position: number): string {
  return `WITH moved AS (UPDATE db_redundancy.import_progress SET statements = ${position}, updated_at = now()
WHERE sha256 = ${quoteLiteral(sha256)} AND statements = ${position - 1} RETURNING 1) SELECT 1 / count(*) FROM moved`;
}
