/**
 * One text per value on both sides of a stream, in SQL, so that rows can be hashed where they are. Valid under the
 * settings of a source session (TEXT_FORM_SETTINGS) and of a target session (`Dialect.sessionSql`).
 *
 * Two values that differ never have the same text. The reverse holds for every column that is `exact`; one that is not
 * may show a difference where there is none, and says why: a row that hashes differently is then compared by value, see
 * back.ts.
 */
import type { DialectName } from '../apply/dialect.js';
import { quoteIdent } from '../core/ident.js';
import type { Conversion } from '../schema/mapped-type.js';
import { type TableModel, type TypeModel, undomained } from '../schema/model.js';
import type { PlannedColumn } from '../schema/translation.js';
import { cockroachPair } from './canonical-cockroach.js';
import { type Form, piece } from './form.js';

/** The table's alias in every expression: nothing else in them can be mistaken for a column. */
export const ROW_ALIAS = 'r';

export interface ComparableColumn {
  readonly name: string;
  /** On the primary. */
  readonly type: TypeModel;
  /** How the value is changed on its way, see schema/mapped-type. */
  readonly convert: Conversion;
}

interface ColumnSql {
  readonly name: string;
  /** The canonical text of the column, NULL for NULL. */
  readonly primary: string;
  readonly secondary: string;
  /** The same with its ends marked, never NULL: what a row's hash is made of. */
  readonly primaryPiece: string;
  readonly secondaryPiece: string;
  /** A field of a ROW() that two PostgreSQL servers print alike: the value itself where no other form is needed. */
  readonly primaryField: string;
  readonly secondaryField: string;
}

export type CanonicalColumn = ColumnSql &
  ({ readonly exact: true } | { readonly exact: false; readonly reason: string });

/** Expressions over `<table> AS r`. */
function canonicalColumn(column: ComparableColumn, dialect: DialectName): CanonicalColumn {
  const form = dialect === 'cockroach' ? cockroachPair(column.type, column.convert) : postgresPair(column);
  const value = `${ROW_ALIAS}.${quoteIdent(column.name)}`;
  const primary = form.primary(value);
  const secondary = form.secondary(value);
  const asIs = form.primary === asText && form.secondary === asText;
  const sql = {
    name: column.name,
    primary,
    secondary,
    primaryPiece: piece(primary, form.pieces),
    secondaryPiece: piece(secondary, form.pieces),
    primaryField: asIs ? value : primary,
    secondaryField: asIs ? value : secondary,
  };
  return form.doubt === null ? { ...sql, exact: true } : { ...sql, exact: false, reason: form.doubt };
}

export interface ComparedColumns {
  readonly columns: readonly CanonicalColumn[];
  /** Not compared, and why. */
  readonly left: readonly { readonly name: string; readonly reason: string }[];
}

/** The columns of a table as it is translated, in the primary's order. */
export function canonicalColumns(
  table: TableModel,
  planned: readonly PlannedColumn[],
  dialect: DialectName,
): ComparedColumns {
  const columns: CanonicalColumn[] = [];
  const left: { name: string; reason: string }[] = [];
  for (const { name, convert } of planned) {
    const type = table.columns.find((column) => column.name === name)?.type;
    if (!type) left.push({ name, reason: 'the primary has no such column any more' });
    else columns.push(canonicalColumn({ name, type, convert }, dialect));
  }
  return { columns, left };
}

const PLAIN = new Set([
  ...['int2', 'int4', 'int8', 'oid', 'float4', 'float8', 'numeric', 'bool', 'uuid'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval'],
]);

const asText = (value: string): string => `(${value})::text`;
/** As the server sends it: a cast of xml keeps the declaration that the output leaves out, for one. */
const asSent = (value: string): string => `CASE WHEN ${value} IS DISTINCT FROM NULL THEN concat(${value}) END`;

/** Both sides are PostgreSQL and print a type alike, whatever their versions. */
function postgresPair({ type, convert }: ComparableColumn): Form {
  const { name, kind } = undomained(type);
  const form = (primary: Form['primary'], secondary: Form['secondary'] = primary): Form => ({
    primary,
    secondary,
    pieces: convert === 'none' && kind === 'base' && PLAIN.has(name) ? 'plain' : 'any',
    doubt: null,
  });
  if (convert === 'text') return form(asSent, asText);
  if (convert === 'hstore') return form((value) => `(${value})::jsonb::text`, asText);
  if (name === 'xml') return form(asSent);
  // Without the currency, which is a matter of lc_monetary.
  if (name === 'money') return form((value) => `(${value})::numeric::text`);
  return form(asText);
}
