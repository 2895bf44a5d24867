/**
 * Tables without a key: the primary's is made the same bag of rows as the secondary's, by the number of copies of each
 * row. Which copy is which nobody can tell, so there is nothing to decide between the sides: what the tail did was
 * applied to the secondary before, and the secondary's bag is what counts.
 */
import { arrayLiteral } from '../apply/array-literal.js';
import { insertSql } from '../apply/statements.js';
import type { TargetSession } from '../apply/target-session.js';
import { quoteIdent, quoteTable } from '../core/ident.js';
import { slices } from '../pipeline/compile.js';
import { rowHash } from '../reconcile/row-hash.js';
import type { CompareSides } from './compare.js';
import type { CopyContext } from './copy-context.js';
import { beginCopy } from './copy-rows.js';
import { sideColumns, toPrimary } from './row-io.js';
import { mergeJoin, streamRows } from './row-stream.js';
import type { RecoveryTable } from './tables.js';
import { triggerSwitch } from './triggers.js';

interface Difference {
  readonly hash: string;
  /** Copies that the primary has too few (positive) or too many (negative). */
  readonly copies: number;
}

/** A row of which the primary had copies that the secondary has not: they were taken away. */
export interface RemovedCopies {
  readonly hash: string;
  readonly copies: number;
  /** JSON of column and text. */
  readonly version: string;
}

const BATCH = 500;

/**
 * A stale table only gives: what the primary has more of may never have reached the secondary.
 * @param onRemoved told before the copies are taken away, where they have to be kept
 */
export async function syncBag(
  context: CopyContext,
  sides: CompareSides,
  primary: TargetSession,
  table: RecoveryTable,
  onRemoved: ((removed: readonly RemovedCopies[]) => Promise<void>) | null,
): Promise<number> {
  let changed = 0;
  let batch: Difference[] = [];
  const sql = (side: 'primary' | 'secondary') =>
    `SELECT ${rowHash(table.canonical, side)} AS h, count(*)::text AS n FROM ${quoteTable(table.schema, table.name)} AS r GROUP BY 1 ORDER BY 1`;
  const counts = mergeJoin(
    streamRows(sides.primary, sql('primary'), []),
    streamRows(sides.secondary, sql('secondary'), []),
    (a, b) => a?.n !== b?.n,
  );
  for await (const { left, right } of counts) {
    if (!table.complete && Number(right?.n ?? 0) < Number(left?.n ?? 0)) continue;
    batch.push({ hash: (left ?? right)?.h ?? '', copies: Number(right?.n ?? 0) - Number(left?.n ?? 0) });
    changed += 1;
    if (batch.length < BATCH) continue;
    await apply(context, primary, table, batch, onRemoved);
    batch = [];
  }
  if (batch.length > 0) await apply(context, primary, table, batch, onRemoved);
  return changed;
}

async function apply(
  context: CopyContext,
  primary: TargetSession,
  table: RecoveryTable,
  differences: readonly Difference[],
  onRemoved: ((removed: readonly RemovedCopies[]) => Promise<void>) | null,
): Promise<void> {
  const more = differences.filter(({ copies }) => copies > 0);
  const fewer = differences.filter(({ copies }) => copies < 0);
  if (onRemoved && fewer.length > 0) await onRemoved(await removedCopies(primary, table, fewer));
  const added: (string | null)[][] = [];
  const rows = await context.read((session) => rowsByHash(session, table, 'secondary', more));
  for (const { copies, hash } of more) {
    const row = rows.get(hash);
    for (let i = 0; row && i < copies; i++) added.push(toPrimary(table, row));
  }
  const columns = sideColumns(table, 'primary');
  const triggers = triggerSwitch([table], context.owned);
  const name = quoteTable(table.schema, table.name);
  try {
    await primary.pipeline([...beginCopy(false), ...triggers.off]);
    if (fewer.length > 0) {
      await primary.run({
        text: `DELETE FROM ${name} WHERE (tableoid, ctid) IN (SELECT x.o, x.c FROM (
          SELECT r.tableoid AS o, r.ctid AS c, u.n, row_number() OVER (PARTITION BY u.h) AS copy
          FROM unnest($1::text[], $2::int8[]) AS u(h, n) JOIN ${name} AS r ON ${rowHash(table.canonical, 'primary')} = u.h) AS x WHERE x.copy <= x.n)`,
        values: [`{${fewer.map(({ hash }) => hash).join(',')}}`, `{${fewer.map(({ copies }) => -copies).join(',')}}`],
      });
    }
    const text = insertSql(table.primary, columns, primary.dialect.statements);
    for (const slice of slices(added, primary.dialect))
      await primary.run({ text, values: columns.map((column, i) => arrayLiteral(slice, i, column.encoding)) });
    await primary.pipeline([...triggers.on, { text: 'COMMIT', values: [] }]);
  } catch (error) {
    if (!primary.broken) await primary.rollback();
    throw error;
  }
}

async function removedCopies(
  primary: TargetSession,
  table: RecoveryTable,
  fewer: readonly Difference[],
): Promise<RemovedCopies[]> {
  const rows = await rowsByHash(primary, table, 'primary', fewer);
  return fewer.map(({ copies, hash }) => ({
    hash,
    copies: -copies,
    version: JSON.stringify(
      Object.fromEntries(table.columns.map(({ name }, i) => [name, rows.get(hash)?.[i] ?? null])),
    ),
  }));
}

/** One copy of each. */
async function rowsByHash(
  session: TargetSession,
  table: RecoveryTable,
  side: 'primary' | 'secondary',
  wanted: readonly Difference[],
): Promise<Map<string, (string | null)[]>> {
  if (wanted.length === 0) return new Map();
  const hash = rowHash(table.canonical, side);
  const list = table.columns.map(({ name }, i) => `r.${quoteIdent(name)} AS v${i}`).join(', ');
  const { rows } = await session.run({
    text: `SELECT * FROM (SELECT ${hash} AS h, ${list}, row_number() OVER (PARTITION BY ${hash}) AS copy FROM ${quoteTable(table.schema, table.name)} AS r) AS x
      WHERE x.copy = 1 AND x.h = ANY ($1::text[])`,
    values: [`{${wanted.map((each) => each.hash).join(',')}}`],
  });
  return new Map(rows.map((row) => [row.h ?? '', table.columns.map((_, i) => row[`v${i}`] ?? null)]));
}
