/** The primary works out its generated columns for rows of the stream: see pipeline/derive. */
import type { PoolClient } from 'pg';
import { arrayLiteral } from '../apply/array-literal.js';
import type { Relation, Row } from '../core/change.js';
import { StreamHaltError } from '../core/errors.js';
import { displayName, quoteIdent, quoteTable } from '../core/ident.js';
import { classify } from '../core/policy.js';
import type { Binding, Derivation, ValueConverter } from '../pipeline/binding.js';
import type { DerivationInput } from '../pipeline/derive.js';
import { mentions } from '../schema/translate-column.js';
import type { PlannedColumn } from '../schema/translation.js';

/**
 * What a version of a relation needs for the columns that the secondary stores and the WAL lacks; null when nothing.
 * @param rename present name of a column that the relation calls by its own one
 * @param converter present text of a value of that type, for one that is written in another way now
 */
export function derivationOf(
  relation: Relation,
  planned: readonly PlannedColumn[],
  filled: readonly PlannedColumn[],
  rename: (name: string) => string | null,
  converter: (typeOid: number) => ValueConverter | null,
): Derivation | null {
  const outputs = filled
    .filter((column) => !relation.columns.some((each) => each.name === column.name))
    .map(({ name, fill }) => ({ name, expression: fill ?? 'NULL' }));
  if (outputs.length === 0) return null;
  const inputs = relation.columns.flatMap((column, index) => {
    const name = rename(column.name);
    const plan = planned.find((each) => each.name === name);
    const used = name !== null && outputs.some((output) => mentions(output.expression, name));
    return used && plan ? [{ index, name, type: plan.sourceType, convert: converter(column.typeOid) }] : [];
  });
  return { inputs, outputs, types: new Map(planned.map((column) => [column.name, column.sourceType])) };
}

/**
 * Values of `derivation.outputs` for each row. A row of which the WAL lacks a value that an expression may use is read
 * as it is on the primary now: if it has changed since, that change is in the stream behind this one.
 * @param untilVisible waits until queries see every transaction that the stream has received
 */
export async function derivedValues(
  client: PoolClient,
  binding: Binding,
  rows: readonly DerivationInput[],
  untilVisible: () => Promise<void>,
): Promise<readonly Row[]> {
  const derivation = binding.derivation as Derivation;
  const out = new Array<Row>(rows.length).fill([]);
  const numbered = rows.map((row, index) => ({ ...row, index }));
  const [complete, partial] = [numbered.filter((row) => row.complete), numbered.filter((row) => !row.complete)];
  try {
    if (complete.length > 0) await evaluate(client, derivation, complete, out);
    if (partial.length > 0) {
      // A commit is in the stream a moment before queries see it: the row would be the one from before the change.
      await untilVisible();
      await readCurrent(client, binding, partial, out);
    }
  } catch (error) {
    if (classify(error).action === 'retry' || classify(error).action === 'reread-checkpoint') throw error;
    const columns = derivation.outputs.map((output) => output.name).join(', ');
    throw new StreamHaltError(
      `The primary could not work out ${columns} of ${displayName(binding.relation)} for a change: ${error instanceof Error ? error.message : error}`,
      {
        code: 'derived-column',
        remedy:
          'If the column was changed meanwhile, restart the stream; else take the table out of DB_SYNC_TABLES and report this.',
        cause: error,
      },
    );
  }
  return out;
}

type Numbered = DerivationInput & { readonly index: number };

async function evaluate(
  client: PoolClient,
  { inputs, outputs }: Derivation,
  rows: readonly Numbered[],
  out: Row[],
): Promise<void> {
  const fields = ['i', ...inputs.map((_, i) => `c${i}`)].join(', ');
  const parameters = ['$1::int8[]', ...inputs.map((_, i) => `$${i + 2}::text[]`)].join(', ');
  const columns = inputs.map(({ name, type }, i) => `, u.c${i}::${type} AS ${quoteIdent(name)}`).join('');
  const results = outputs.map((output) => `, (${output.expression})`).join('');
  // The row's number has a name that no column of the table has.
  const number = quoteIdent(`#${inputs.map((input) => input.name).join('#')}`.slice(0, 60));
  const text = `SELECT ${number}${results} FROM (SELECT u.i AS ${number}${columns} FROM unnest(${parameters}) AS u(${fields})) AS s`;
  const values = rows.map((row) => row.values);
  await collect(client, text, rows, inputs.length, values, out);
}

async function readCurrent(client: PoolClient, binding: Binding, rows: readonly Numbered[], out: Row[]): Promise<void> {
  const { schema, name } = binding.relation;
  const derivation = binding.derivation as Derivation;
  const outputs = derivation.outputs.map((output) => `, t.${quoteIdent(output.name)}`).join('');
  const key = binding.keyNames;
  const fields = key.map((_, i) => `c${i}`).join(', ');
  const parameters = key.map((_, i) => `$${i + 2}::text[]`).join(', ');
  const match = key
    .map((column, i) => `t.${quoteIdent(column)} = u.c${i}::${derivation.types.get(column) ?? 'text'}`)
    .join(' AND ');
  const text = `SELECT u.i${outputs} FROM unnest($1::int8[], ${parameters}) AS u(i, ${fields}) JOIN ${quoteTable(schema, name)} AS t ON ${match}`;
  await collect(
    client,
    text,
    rows,
    key.length,
    rows.map((row) => row.key ?? []),
    out,
  );
}

async function collect(
  client: PoolClient,
  text: string,
  rows: readonly Numbered[],
  width: number,
  given: readonly Row[],
  out: Row[],
): Promise<void> {
  const ids = `{${rows.map((row) => row.index).join(',')}}`;
  const values = [ids, ...Array.from({ length: width }, (_, i) => arrayLiteral(given, i, 'quoted'))];
  const answer = await client.query<(string | null)[]>({ text, values, rowMode: 'array' });
  for (const [index, ...found] of answer.rows) out[Number(index)] = found;
}
