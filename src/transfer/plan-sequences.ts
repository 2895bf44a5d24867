/** The sequences of a catalog, and the columns that draw from them. */
import { quoteIdent, type TableName } from '../core/ident.js';
import { type CatalogModel, type ColumnModel, type QualifiedName, sameName } from '../schema/model.js';
import type { ExportedSequence } from './export-plan.js';

export function planSequences(catalog: CatalogModel): ExportedSequence[] {
  const uses = catalog.tables.flatMap((table) =>
    table.columns.flatMap((column) => {
      const sequence = column.ownedSequence ?? drawnFrom(column, catalog.sequences);
      return sequence ? [{ sequence, table: table as TableName, column: column.name }] : [];
    }),
  );
  return catalog.sequences.map(({ schema, name, increment, min, max }) => ({
    schema,
    name,
    ...{ increment: BigInt(increment), min: BigInt(min), max: BigInt(max) },
    uses: uses
      .filter((use) => sameName(use.sequence, { schema, name }))
      .map(({ table, column }) => ({ table: { schema: table.schema, name: table.name }, column })),
  }));
}

/** The sequence that a default like `nextval('public.seq'::regclass)` names. */
export function drawnFrom<S extends QualifiedName>(column: ColumnModel, sequences: readonly S[]): S | null {
  const match = /\bnextval\(\s*(e?)'((?:[^'\\]|''|\\.)+)'/i.exec(column.default ?? '');
  if (!match) return null;
  const text = (match[2] ?? '').replaceAll("''", "'");
  const printed = match[1] === '' ? text : text.replace(/\\(.)/g, '$1');
  return sequences.find((sequence) => printedNames(sequence).includes(printed)) ?? null;
}

/** Servers quote a part only where they must; `public` may be left out. */
function printedNames({ schema, name }: QualifiedName): string[] {
  const names = [name, quoteIdent(name)];
  const qualified = [schema, quoteIdent(schema)].flatMap((owner) => names.map((each) => `${owner}.${each}`));
  return schema === 'public' ? [...qualified, ...names] : qualified;
}
