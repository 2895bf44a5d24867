/**
 * A row that differs on the secondary, with the later `updated_at` there, while the primary is the active database. The
 * standby has to show the primary's state, so the primary's row wins; but the other one may be a write that nothing else
 * holds, so it is kept in `conflicts`, where the losers of a failover are kept as well.
 */
import { quoteIdent } from '../core/ident.js';
import type { TargetLink } from '../meta/target-link.js';
import { project } from '../pipeline/binding.js';
import type { Key } from '../snapshot/chunk-reader.js';
import { rowOfKey } from '../snapshot/load-table.js';
import { ROW_ALIAS } from './canonical.js';
import type { ComparedTable } from './compared-table.js';
import { readSecondaryRows } from './look.js';

export interface KeptRow {
  readonly key: Key;
  readonly primaryAt: string | null;
  readonly secondaryAt: string | null;
}

const INSERT_SQL = `
INSERT INTO db_redundancy.conflicts
  (stream, failover_epoch, schema_name, table_name, row_key, position, winner, rule, secondary_version, primary_at, secondary_at)
VALUES ($1, coalesce((SELECT epoch FROM db_redundancy.control WHERE stream = $1), 0), $2, $3, $4, $5::int8, 'primary', 'sweep', $6, $7::timestamptz, $8::timestamptz)
ON CONFLICT (stream, failover_epoch, schema_name, table_name, row_key, position) DO NOTHING`;

export class ConflictKeeper {
  readonly #link: TargetLink;
  readonly #stream: string;
  readonly #now: () => number;

  constructor(link: TargetLink, stream: string, now: () => number) {
    this.#link = link;
    this.#stream = stream;
    this.#now = now;
  }

  async keep(table: ComparedTable, rows: readonly KeptRow[]): Promise<void> {
    const { binding } = table.load;
    const names = binding.columns.map(({ name }) => name);
    const versions = await readSecondaryRows(
      this.#link,
      table,
      rows.map(({ key }) => project(binding, rowOfKey(binding, key))),
      names.map((name) => `${ROW_ALIAS}.${quoteIdent(name)}`),
    );
    const { name, schema } = table.load.chunk;
    // One position per sweep: the same row may lose again another day.
    const position = String(this.#now());
    for (const [i, { key, primaryAt, secondaryAt }] of rows.entries()) {
      const texts = versions[i];
      if (!texts) continue;
      const version = JSON.stringify(Object.fromEntries(names.map((column, at) => [column, texts[at]])));
      await this.#link.run(INSERT_SQL, [
        ...[this.#stream, schema, name, JSON.stringify(key), position, version, primaryAt, secondaryAt],
      ]);
    }
  }
}
