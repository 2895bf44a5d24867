/** The text of an export, piece by piece: settings, tables, rows, then what follows them. */
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from '../core/ident.js';
import { columnsOf, type ExportedSequence, type ExportPlan } from './export-plan.js';
import { insertStatements, type RowLedger } from './export-rows.js';
import type { ExportSource } from './export-source.js';
import { type ExportHeader, headerLines, rowsLine } from './file-format.js';
import { differs, IF_COCKROACH, type PortableSql, RECOGNISE_DATABASE, renderSql } from './portable-sql.js';

/** The parts of a file, each begun by a comment of its own: an import treats them differently. */
export type Part = 'tables' | 'rows' | 'sequences' | 'indexes' | 'constraints';
export const PART_PREFIX = '-- part: ';

const HELP = `-- Restore it into an empty database of PostgreSQL or CockroachDB with
--   psql -X -v ON_ERROR_STOP=1 -f FILE postgresql://...
-- or, checked before the first write and resumable, with db-redundancy import.
`;

/** What both databases have to be told to read the file as it was written. */
const SETTINGS = `SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET datestyle = 'ISO, MDY';
SET intervalstyle = 'postgres';
SET timezone = 'UTC';
SET statement_timeout = 0;
`;

export interface ExportParts {
  readonly plan: ExportPlan;
  readonly source: ExportSource;
  readonly header: Omit<ExportHeader, 'tables'>;
  readonly ledger: RowLedger;
  readonly signal: AbortSignal;
  /** Positions are those of the source, or behind the largest value of their columns: a stream carries none. */
  readonly sequencePositions: 'exact' | 'behind-values';
  readonly onTable: (table: TableName, state: 'loading' | 'done') => void;
}

export async function* exportText(parts: ExportParts): AsyncGenerator<string, void, void> {
  const { plan, header, signal, ledger } = parts;
  const tables = plan.rows.map(({ schema, name, forms }) => ({ schema, name, columns: columnsOf(forms) }));
  yield headerLines({ ...header, tables });
  yield HELP;
  for (const note of plan.notes) yield `-- ${JSON.stringify(note).slice(1, -1)}\n`;
  yield SETTINGS;
  const everything = [...plan.settings, ...plan.tables, ...plan.indexes, ...plan.constraints];
  const positions = await sequencePositions(parts);
  if ([...everything, ...positions].some(differs) || plan.rows.some(({ forms }) => !('both' in forms))) {
    yield RECOGNISE_DATABASE;
  }
  for (const statement of plan.settings) yield renderSql(statement);
  yield part('tables');
  for (const statement of plan.tables) yield renderSql(statement);
  yield part('rows');
  yield* rows(parts);
  yield part('sequences');
  for (const statement of positions) yield renderSql(statement);
  yield part('indexes');
  for (const statement of plan.indexes) yield renderSql(statement);
  yield part('constraints');
  for (const statement of plan.constraints) yield renderSql(statement);
  signal.throwIfAborted();
  yield rowsLine(ledger.trailer());
}

function part(name: Part): string {
  return `${PART_PREFIX}${name}\n`;
}

async function* rows({ plan, source, ledger, signal, onTable }: ExportParts): AsyncGenerator<string, void, void> {
  for (const table of plan.rows) {
    onTable(table, 'loading');
    const { forms } = table;
    if ('both' in forms) {
      for await (const statement of insertStatements(source, table, forms.both, ledger)) {
        signal.throwIfAborted();
        yield statement;
      }
    } else {
      for (const [dialect, columns] of [
        ['cockroach', forms.cockroach],
        ['postgres', forms.postgres],
      ] as const) {
        yield dialect === 'cockroach' ? `${IF_COCKROACH}\n` : '\\else\n';
        const counting = dialect === 'cockroach' ? ledger : null;
        for await (const statement of insertStatements(source, table, columns, counting)) {
          signal.throwIfAborted();
          yield statement;
        }
      }
      yield '\\endif\n';
    }
    onTable(table, 'done');
  }
}

/** is_called = false: both databases give this value next. Past its end a sequence has no next value. */
async function sequencePositions(parts: ExportParts): Promise<PortableSql[]> {
  const statements: PortableSql[] = [];
  for (const sequence of parts.plan.sequences) {
    const next = await nextValue(parts, sequence);
    const name = quoteLiteral(quoteTable(sequence.schema, sequence.name)).trim();
    const within = next >= sequence.min && next <= sequence.max;
    const last = sequence.increment > 0n ? sequence.max : sequence.min;
    statements.push({ both: `SELECT setval(${name}, ${within ? `${next}, false` : `${last}, true`})` });
  }
  return statements;
}

async function nextValue({ source, sequencePositions }: ExportParts, sequence: ExportedSequence): Promise<bigint> {
  const { increment } = sequence;
  const at = quoteTable(sequence.schema, sequence.name);
  const [last = '0', called = 'true'] = (
    await source.value(`SELECT last_value::text || ',' || is_called::text FROM ${at}`)
  ).split(',');
  // CockroachDB says is_called of one that was never used too; its last value is then one step before the first.
  const moved = source.dialect === 'cockroach' || called === 'true';
  let next = BigInt(last) + (moved ? increment : 0n);
  if (sequencePositions === 'exact') return next;
  for (const { table, column } of sequence.uses) {
    const end = increment > 0n ? 'max' : 'min';
    const found = await source.value(
      `SELECT ${end}(${quoteIdent(column)})::text FROM ${quoteTable(table.schema, table.name)}`,
    );
    if (found === '') continue;
    const behind = BigInt(found) + increment;
    if (increment > 0n ? behind > next : behind < next) next = behind;
  }
  return next;
}
