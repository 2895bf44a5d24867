/** G7 by value: every type of SPEC section 5 through the way home, its edges and generated values. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { testSeed } from './support/random.js';
import { failedOver, fenceOf, recoveryOf } from './support/recovery.js';
import { TYPE_DDL, TYPE_GROUPS, type TypeGroup } from './support/type-values.js';

const ROWS = 24;

function createTable({ columns, filled, table }: TypeGroup, name: string): string {
  const list = columns.map((column) => `${column.name} ${column.type}`);
  return `CREATE TABLE ${name.replace('?', table)} (id int PRIMARY KEY, ${[...list, ...(filled ? [filled] : [])].join(', ')});`;
}

function generate(group: TypeGroup, seed: number): (string | null)[][] {
  const columns = group.columns.map(({ edges, values }, i) => {
    const more = fc.sample(fc.option(values, { freq: 8 }), { seed: seed + i, numRuns: ROWS });
    return [...edges, ...more].slice(0, ROWS);
  });
  return Array.from({ length: ROWS }, (_, row) => columns.map((column) => column[row] ?? null));
}

describeDialects('recovery by value', (dialect) => {
  it('G7 brings every type home as it was: rows are lost on the primary and come back from the secondary', async () => {
    const seed = testSeed();
    await using it_ = await failedOver(
      `${TYPE_DDL} ${TYPE_GROUPS.map((group) => createTable(group, '?')).join('\n')}`,
      {
        dialect,
      },
    );
    const { pair } = it_;
    // Streamed there in full, so that the secondary has what the primary had.
    const stream = await it_.streamAgain();
    for (const group of TYPE_GROUPS) {
      const list = group.columns.map(({ name }) => name).join(', ');
      const casts = group.columns.map(({ name, type }) => `u.${name}::${type}`).join(', ');
      const parameters = group.columns.map((_, i) => `$${i + 2}::text[]`).join(', ');
      const rows = generate(group, seed);
      await withClient(pair.primary.url, (client) =>
        client.query(
          `INSERT INTO ${group.table} (id, ${list}) SELECT u.id, ${casts} FROM unnest($1::int[], ${parameters}) AS u(id, ${list})`,
          [rows.map((_, i) => i), ...group.columns.map((_, i) => rows.map((row) => row[i]))],
        ),
      );
      await it_.primary(`CREATE TABLE kept_${group.table} AS SELECT * FROM ${group.table}`);
    }
    await stream.caughtUp();
    await stream.stop();
    await using recovery = recoveryOf(pair);
    await recovery.notePosition(2);
    recovery.follow();
    // All written on the secondary, with the values that they have; and gone or wrong on the primary, unknown to the stream.
    for (const { table } of TYPE_GROUPS) await it_.secondary(`UPDATE ${table} SET id = id + 1000`);
    for (const { table } of TYPE_GROUPS) await it_.secondary(`UPDATE ${table} SET id = id - 1000`);
    recovery.recoverPrimary(await fenceOf(pair));
    for (const { table } of TYPE_GROUPS)
      await it_.primary(
        `BEGIN; SELECT pg_logical_emit_message(true, 'db_redundancy', ''); DELETE FROM ${table} WHERE id % 3 <> 0; COMMIT`,
      );
    await recovery.drain(new AbortController().signal);
    for (const group of TYPE_GROUPS) {
      for (const { name, type } of group.columns) {
        // json comes home through JSONB, and blanks at the end of char(n) are no part of the value.
        const value = (alias: string) =>
          /^json(\[\])?$/.test(type) || /^char/.test(type)
            ? `${alias}.${name}::text::${type === 'json' ? 'jsonb' : type}::text`
            : `concat(${alias}.${name})`;
        const differing = await query<{ id: number; ours: string; theirs: string }>(
          pair.primary.url,
          `SELECT k.id, ${value('k')} AS theirs, ${value('t')} AS ours FROM kept_${group.table} k LEFT JOIN ${group.table} t ON t.id = k.id
           WHERE t.id IS NULL OR ${value('k')} IS DISTINCT FROM ${value('t')}`,
        );
        expect(differing, `${group.table}.${name} ${type}, seed ${seed}`).toEqual([]);
      }
    }
  });
});
