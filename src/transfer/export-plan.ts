/** What an export writes, worked out from the catalog before the first row is read. */
import type { TableName } from '../core/ident.js';
import type { QualifiedName } from '../schema/model.js';
import type { Writer } from './literal.js';
import type { PortableSql } from './portable-sql.js';

export interface WrittenColumn {
  readonly name: string;
  /** SQL over the table on the source. */
  readonly select: string;
  readonly write: Writer;
}

/** The rows of a table as both databases take them, or for each on its own (a generated column, another form of text). */
export type RowForms =
  | { readonly both: readonly WrittenColumn[] }
  | { readonly postgres: readonly WrittenColumn[]; readonly cockroach: readonly WrittenColumn[] };

export interface ExportedTable extends TableName {
  /** After FROM. */
  readonly from: string;
  readonly forms: RowForms;
  /** Null when unknown. */
  readonly rowEstimate: number | null;
}

export interface ExportedSequence extends QualifiedName {
  readonly increment: bigint;
  readonly min: bigint;
  readonly max: bigint;
  /** Columns that draw from it. */
  readonly uses: readonly { readonly table: TableName; readonly column: string }[];
}

export interface ExportPlan {
  /** What is not the same everywhere, one sentence each. */
  readonly notes: readonly string[];
  readonly settings: readonly PortableSql[];
  /** Schemas, types, sequences, tables. */
  readonly tables: readonly PortableSql[];
  /** In an order in which a table comes after those that it refers to, as far as there is one. */
  readonly rows: readonly ExportedTable[];
  readonly sequences: readonly ExportedSequence[];
  readonly indexes: readonly PortableSql[];
  /** Foreign keys, triggers, ownership of sequences: what a standby does not have. */
  readonly constraints: readonly PortableSql[];
}

export function columnsOf(forms: RowForms): readonly string[] {
  if ('both' in forms) return forms.both.map((column) => column.name);
  return [...new Set([...forms.postgres, ...forms.cockroach].map((column) => column.name))];
}

/** Parents before children; tables that refer to each other in a circle keep their order. */
export function parentsFirst<T extends TableName>(
  tables: readonly T[],
  parents: (table: T) => readonly TableName[],
): T[] {
  const key = ({ schema, name }: TableName): string => JSON.stringify([schema, name]);
  const byKey = new Map(tables.map((table) => [key(table), table]));
  const done = new Set<string>();
  const order: T[] = [];
  const visit = (table: T): void => {
    if (done.has(key(table))) return;
    done.add(key(table));
    for (const parent of parents(table)) {
      const found = byKey.get(key(parent));
      if (found) visit(found);
    }
    order.push(table);
  };
  for (const table of tables) visit(table);
  return order;
}
