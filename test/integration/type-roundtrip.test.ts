/**
 * SPEC section 5 by value: every type, its edges and generated values, through the initial load and through the stream;
 * compared by the hashes that verify uses, brought back to the primary, and hashes that must notice any change.
 */
import fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dialectOf } from '../../src/apply/dialect.js';
import { RAW_TEXT_TYPES } from '../../src/core/raw-types.js';
import { backColumn } from '../../src/reconcile/back.js';
import { type CanonicalColumn, canonicalColumns } from '../../src/reconcile/canonical.js';
import { type Hashing, type RangeHash, rowHash, type Side, sameRange } from '../../src/reconcile/row-hash.js';
import type { PlannedColumn } from '../../src/schema/translation.js';
import { TEXT_FORM_SQL } from '../../src/source/session-settings.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { type CanonicalTable, canonicalTables, rangeHashOf } from './support/canonical-tables.js';
import { testSeed } from './support/random.js';
import { RunningStream } from './support/stream.js';
import { createTypeTable, generateTypeRows, insertTypeRows } from './support/type-rows.js';
import { TYPE_DDL, TYPE_GROUPS, type TypeGroup } from './support/type-values.js';

const ROWS = 60;
/** A quarter is there when the load begins; the rest comes as INSERT; of all, every third is updated. */
const LOADED = ROWS / 4;

/** Another text, the same value: blanks at the end of char(n), and json that jsonb holds alike. */
const EQUAL_BUT_PRINTED: ReadonlySet<string> = new Set(['bpchar', '_bpchar', 'json']);

/**
 * What does not come back from CockroachDB as the very text that the primary has, and nothing else: json went through
 * JSONB (blanks, order, the first of equal names), and comes back as an equal jsonb.
 */
const COMES_BACK_EQUAL: ReadonlySet<string> = new Set(['json']);

/** Values that CockroachDB has no place for. PostgreSQL takes them all. */
const REFUSED: readonly (readonly [type: string, value: string])[] = [
  // Its own infinity: 22.1 stores and prints it as these.
  ['timestamp', '294276-12-31 23:59:59.999999'],
  ['timestamptz', '4714-11-24 00:00:00+00 BC'],
  ['timestamptz[]', '{"294276-12-31 23:59:59.999999+00"}'],
  ['timestamp(3)', 'infinity'],
  // The time of an interval wraps around in silence, the rest of it does not.
  ['interval', '2562048:00:00'],
  ['interval', '-2562047:47:16.854776'],
  ['interval[]', '{1 day,3000000:00:00}'],
  ['interval', '10000 years'],
  ['interval', 'infinity'],
  ['integer[]', '{{1,2},{3,4}}'],
  ['text[]', '[0:1]={a,b}'],
  ['json', '"\\u0000"'],
  ['json', '{"a": "\\ud800"}'],
  ['json', '[1e10000]'],
  ['numeric', '1e120000'],
];

/** What an application may write during a failover: type, text for the secondary, and for the primary where that differs. */
const WRITTEN: readonly (readonly [type: string, secondary: string, primary?: string])[] = [
  ['numeric', '1e10'],
  ['numeric', '-0.000'],
  ['numeric', '-12.5e-12'],
  ['numeric', '0e5'],
  ['numeric(12,4)', '1e3'],
  ['double precision', '1e23'],
  ['double precision', '-0'],
  ['double precision', '-infinity'],
  ['real', '1e-7'],
  ['timestamp', 'infinity'],
  ['timestamp', '-infinity'],
  ['timestamptz', '0044-03-15 12:00:00.5+00 BC'],
  ['timestamptz[]', '{infinity,-infinity,"0044-03-15 12:00:00+00 BC","0001-01-01 00:00:00+00 BC",NULL}'],
  ['date', 'infinity'],
  ['timetz', '24:00:00-07:30'],
  ['interval', '-1 mon 1 day -00:00:01'],
  ['char(5)', 'ab'],
  ['char(3)[]', '{"a  ",b,NULL}'],
  ['text[]', '{"\u00a0a","NULL",NULL,""}'],
  ['real[]', '{infinity,-0,1e20,NULL}'],
  ['numeric[]', '{1E+5,-0.0,1e-9}'],
  ['inet', '::1.2.3.4/96'],
  ['bytea', '\\x00ff'],
  ['jsonb', '[1E+21, -0, {"bb": "\\b", "a": 1e-7}]'],
  ['json', '{"b": [1e5], "a": 1}'],
  ['money', '-1234.5'],
  ['hstore', '{"b": null, "a\\"\\\\": "=>"}', '"b"=>NULL, "a\\"\\\\"=>"=>"'],
  ['int4range', '[1,5)'],
  ['cidr', '10.0.0.0/8'],
];

describeDialects('type round trip', (dialect) => {
  const seed = testSeed();
  let pair: DatabasePair;
  let stream: RunningStream;
  let primary: Client;
  let secondary: Client;
  let compared = new Map<string, CanonicalTable>();

  const client = (side: Side) => (side === 'primary' ? primary : secondary);
  const rows = async (side: Side, sql: string, params: unknown[] = []) =>
    (await client(side).query<Record<string, string | null>>(sql, params)).rows;
  const known = (table: string) => compared.get(table) as CanonicalTable;

  beforeAll(async () => {
    pair = await createDatabasePair('types', dialect);
    primary = new Client({ connectionString: pair.primary.url, types: RAW_TEXT_TYPES });
    secondary = new Client({ connectionString: pair.secondary.url, types: RAW_TEXT_TYPES });
    await Promise.all([primary.connect(), secondary.connect()]);
    await primary.query(`${TEXT_FORM_SQL}; ${TYPE_DDL} ${TYPE_GROUPS.map(createTypeTable).join('\n')}`);
    const version = (await rows('secondary', 'SELECT version()'))[0]?.version ?? '';
    await secondary.query(dialectOf(version).sessionSql);
    const refused = REFUSED.map(
      ([type], i) =>
        `CREATE TABLE refused_${i} (id int PRIMARY KEY, v ${type}); INSERT INTO refused_${i} (id) VALUES (1);`,
    );
    await primary.query(refused.join(' '));
    await primary.query(
      `CREATE TABLE refused_at_load (id int PRIMARY KEY, v timestamp); INSERT INTO refused_at_load VALUES (1, '294276-12-31 23:59:59.999999')`,
    );
    const written = WRITTEN.map(([type], i) => `v${i} ${type}`).join(', ');
    await primary.query(`CREATE TABLE written (id int PRIMARY KEY, ${written}); INSERT INTO written (id) VALUES (1)`);
    const all = new Map(TYPE_GROUPS.map((group) => [group, generateTypeRows(group, seed, ROWS)]));
    const insert = (group: TypeGroup, from: number, to: number) =>
      insertTypeRows(primary, group, all.get(group)?.slice(from, to) ?? [], from);
    for (const group of TYPE_GROUPS) await insert(group, 0, LOADED);
    stream = await new RunningStream(pair).streaming();
    for (const group of TYPE_GROUPS) {
      await insert(group, LOADED, ROWS);
      const set = group.columns.map(({ name }) => `${name} = o.${name}`).join(', ');
      await primary.query(
        `UPDATE ${group.table} AS t SET ${set} FROM ${group.table} AS o WHERE t.id % 3 = 1 AND o.id = (t.id * 7 + 3) % ${ROWS}`,
      );
    }
    await stream.caughtUp();
    compared = await canonicalTables(
      primary,
      secondary,
      [...TYPE_GROUPS.map(({ table }) => table), 'written'],
      dialect,
    );
  }, 60_000);

  afterAll(async () => {
    await Promise.all([primary?.end(), secondary?.end()]);
    await stream?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  const rangeHash = (table: string, side: Side, hashing?: Hashing) =>
    rangeHashOf(client(side), side, known(table), dialect, hashing);

  it.each(TYPE_GROUPS)('$table: every value has the same canonical text on both sides', async ({ table }) => {
    expect(stream.streamer.snapshot().tables.find(({ name }) => name === table)).toMatchObject({
      state: 'streaming',
      reason: null,
    });
    const { columns } = known(table);
    const read = (side: Side) => {
      const list = columns.map((column) => `${column[side]} AS "${column.name}"`);
      return rows(
        side,
        `SELECT ${list.join(', ')}, ${rowHash(columns, side)} AS "hash of the row" FROM ${table} AS r ORDER BY r.id`,
      );
    };
    const [ours, theirs] = await Promise.all([read('primary'), read('secondary')]);
    expect(ours).toHaveLength(ROWS);
    expect(theirs, `seed ${seed}`).toEqual(ours);
    expect(await rangeHash(table, 'secondary')).toEqual(await rangeHash(table, 'primary'));
    expect(await rangeHash(table, 'secondary', 'md5')).toEqual(await rangeHash(table, 'primary', 'md5'));
  });

  it.each(TYPE_GROUPS)('$table: what the secondary has comes back as the text of the primary', async ({ table }) => {
    const { model, planned, columns } = known(table);
    const sent = await rows('secondary', `SELECT * FROM ${table} ORDER BY id`);
    const ids = sent.map((row) => row.id);
    for (const { name } of columns) {
      const { convert } = planned.find((column) => column.name === name) as PlannedColumn;
      const type = (model.columns.find((column) => column.name === name) as (typeof model.columns)[number]).type;
      const back = backColumn({ name, type, convert }, dialect);
      const texts = sent.map((row) => (row[name] == null ? null : back.text(row[name])));
      const returned = await rows(
        'primary',
        `SELECT u.id, concat(r."${name}") AS ours, concat(${back.cast('u.v')}) AS returned, ${back.same('u.v')} AS same, u.v IS NULL AS "isNull", r."${name}" IS NOT DISTINCT FROM NULL AS "wasNull"
         FROM unnest($1::int[], $2::text[]) AS u(id, v) JOIN ${table} AS r ON r.id = u.id ORDER BY u.id`,
        [ids, texts],
      );
      const expected = returned.map((row) => ({
        ...row,
        returned: dialect === 'cockroach' && COMES_BACK_EQUAL.has(type.name) ? row.returned : row.ours,
        same: 't',
        isNull: row.wasNull,
      }));
      expect(returned, `${table}.${name}, seed ${seed}`).toEqual(expected);
    }
  });

  it('tells every two values of a column apart that the primary prints differently', async () => {
    for (const { table } of TYPE_GROUPS) {
      for (const { name, primary: canonical } of known(table).columns) {
        const type = known(table).model.columns.find((column) => column.name === name)?.type.name ?? '';
        if (EQUAL_BUT_PRINTED.has(type)) continue;
        const [counted] = await rows(
          'primary',
          `SELECT count(DISTINCT concat(r."${name}")) AS printed, count(DISTINCT ${canonical}) AS canonical FROM ${table} AS r WHERE r."${name}" IS DISTINCT FROM NULL`,
        );
        expect(counted?.canonical, `${table}.${name}, seed ${seed}`).toBe(counted?.printed);
      }
    }
  });

  it('leaves no column out of the comparison', () => {
    const left = TYPE_GROUPS.flatMap(({ table }) => {
      const { model, planned } = known(table);
      return canonicalColumns(model, planned, dialect).left.map(({ name }) => `${table}.${name}`);
    });
    expect(left).toEqual([]);
  });

  it('says of which columns a differing hash needs a second look', () => {
    const doubted = TYPE_GROUPS.flatMap(({ table }) =>
      known(table)
        .columns.filter((column) => !column.exact)
        .map(({ name }) => `${table}.${name}`),
    );
    expect(doubted).toEqual(dialect === 'postgres' ? [] : ['documents.j', 'documents.jb', 'arrays.ch', 'arrays.n']);
  });

  it('G9 keeps what the secondary cannot hold as dead letters, and nothing else of it', async () => {
    const names = REFUSED.map((_, i) => `refused_${i}`);
    const state = (name: string) => stream.streamer.snapshot().tables.find((table) => table.name === name);
    for (const [i, [type, value]] of REFUSED.entries())
      await primary.query(`INSERT INTO refused_${i} VALUES (2, $1::text::${type})`, [value]);
    await stream.caughtUp();
    await waitFor(() => state('refused_at_load')?.state !== 'loading', { what: 'the load has ended' });
    if (dialect === 'postgres') {
      for (const name of names) {
        const sql = `SELECT id, concat(v) AS v FROM ${name} ORDER BY id`;
        expect(await rows('secondary', sql)).toEqual(await rows('primary', sql));
      }
      expect(stream.streamer.snapshot()).toMatchObject({ deadLetters: 0, dropped: 0 });
      return;
    }
    expect(names.map((name) => [name, state(name)?.state])).toEqual(names.map((name) => [name, 'paused']));
    for (const name of names)
      expect(await rows('secondary', `SELECT id FROM ${name} ORDER BY id`)).toEqual([{ id: '1' }]);
    const letters = await rows('secondary', 'SELECT table_name, change FROM db_redundancy.dead_letters');
    const kept = letters.map((row) => [row.table_name, (JSON.parse(row.change ?? '') as { new: { v: string } }).new.v]);
    const printed = names.map((name) => `SELECT '${name}' AS name, concat(v) AS v FROM ${name} WHERE id = 2`);
    const sent = (await rows('primary', printed.join(' UNION ALL '))).map((row) => [row.name, row.v]);
    expect(new Map(kept as [string, string][])).toEqual(new Map(sent as [string, string][]));
    expect(stream.streamer.snapshot()).toMatchObject({ deadLetters: REFUSED.length, dropped: 0 });
    expect(state('refused_at_load')).toMatchObject({ state: 'paused', reason: expect.stringContaining('refused: ') });
    for (const { table } of TYPE_GROUPS) expect(state(table)?.state).toBe('streaming');
  });

  it('notices every value that is changed, lost or swapped, and every row that is missing', async () => {
    await stream.stop();
    const cells = fc.constantFrom(...TYPE_GROUPS).chain((group) =>
      fc.record({
        table: fc.constant(group.table),
        name: fc.constantFrom(...group.columns.map((column) => column.name)),
        change: fc.constantFrom('copy', 'swap', 'null', 'delete'),
        id: fc.nat(ROWS - 1),
        other: fc.nat(ROWS - 1),
      }),
    );
    const seen = new Map<string, number>();
    const expected = new Map<string, RangeHash>();
    for (const { table } of TYPE_GROUPS) expected.set(table, await rangeHash(table, 'primary'));
    await fc.assert(
      fc.asyncProperty(cells, async ({ table, name, change, id, other }) => {
        const canonical = known(table).columns.find((each) => each.name === name) as CanonicalColumn;
        const texts = await rows(
          'primary',
          `SELECT id, ${canonical.primary} AS v FROM ${table} AS r WHERE id IN (${id}, ${other})`,
        );
        const [mine, its] = [id, other].map((row) => texts.find((text) => text.id === String(row))?.v ?? null);
        if (change === 'null' ? mine === null : change !== 'delete' && mine === its) return;
        seen.set(change, (seen.get(change) ?? 0) + 1);
        const value = (row: number) => `(SELECT ${name} FROM ${table} WHERE id = ${row})`;
        const statements: Record<string, string> = {
          copy: `UPDATE ${table} SET ${name} = ${value(other)} WHERE id = ${id}`,
          swap: `UPDATE ${table} SET ${name} = CASE WHEN id = ${id} THEN ${value(other)} ELSE ${value(id)} END WHERE id IN (${id}, ${other})`,
          null: `UPDATE ${table} SET ${name} = NULL WHERE id = ${id}`,
          delete: `DELETE FROM ${table} WHERE id = ${id}`,
        };
        await secondary.query('BEGIN');
        try {
          await secondary.query(statements[change] as string);
          const found = await rangeHash(table, 'secondary');
          expect(sameRange(found, expected.get(table) as RangeHash)).toBe(false);
        } finally {
          await secondary.query('ROLLBACK');
        }
        expect(sameRange(await rangeHash(table, 'secondary'), expected.get(table) as RangeHash)).toBe(true);
      }),
      { seed, numRuns: 80, endOnFailure: true },
    );
    for (const change of ['copy', 'swap', 'null', 'delete'])
      expect(seen.get(change), `seed ${seed}`).toBeGreaterThan(2);
  });

  it('takes home what was written on the secondary, and sees that it is the same', async () => {
    const { model, planned, columns } = known('written');
    for (const [i, [type, theirs, ours = theirs]] of WRITTEN.entries()) {
      const name = `v${i}`;
      const plan = planned.find((column) => column.name === name) as PlannedColumn;
      const source = model.columns.find((column) => column.name === name) as (typeof model.columns)[number];
      const canonical = columns.find((column) => column.name === name) as CanonicalColumn;
      const text = dialect === 'postgres' ? ours : theirs;
      await secondary.query(`UPDATE written SET ${name} = $1::text::${plan.sqlType}`, [text]);
      await primary.query(`UPDATE written SET ${name} = $1::text::${type}`, [ours]);
      const read = (side: Side) =>
        rows(side, `SELECT r.${name} AS sent, ${canonical[side]} AS canonical FROM written AS r`);
      const [[here], [there]] = await Promise.all([read('primary'), read('secondary')]);
      const back = backColumn({ name, type: source.type, convert: plan.convert }, dialect);
      const param = back.text(there?.sent ?? '');
      const [home] = await rows(
        'primary',
        `SELECT concat(${back.cast('$1')}) AS text, ${back.same('$1')} AS same FROM written AS r`,
        [param],
      );
      const equal = dialect === 'cockroach' && COMES_BACK_EQUAL.has(source.type.name);
      expect([type, ours, home?.same, equal || home?.text === here?.sent]).toEqual([type, ours, 't', true]);
      if (canonical.exact) expect([type, ours, there?.canonical]).toEqual([type, ours, here?.canonical]);
    }
  });
});
