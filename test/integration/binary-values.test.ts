/**
 * Values in binary: read as the text that PostgreSQL itself prints, whatever they are; and the stream that carries them,
 * until it meets a type that it reads as text only.
 */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dialectOf } from '../../src/apply/dialect.js';
import { TargetSession } from '../../src/apply/target-session.js';
import { BinaryTypes, type OwnType } from '../../src/core/binary-types.js';
import type { Change } from '../../src/core/change.js';
import { RAW_TEXT_TYPES } from '../../src/core/raw-types.js';
import { copiedLines } from '../../src/snapshot/copied-lines.js';
import { copyOut } from '../../src/source/copy-out-query.js';
import type { PgOutputMessage } from '../../src/source/pgoutput.js';
import { openReplicationSession } from '../../src/source/replication-session.js';
import { TEXT_FORM_SQL } from '../../src/source/session-settings.js';
import { createSlot } from '../../src/source/slot.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { canonicalTables, rangeHashOf } from './support/canonical-tables.js';
import { testSeed } from './support/random.js';
import { RunningStream } from './support/stream.js';
import { createTypeTable, generateTypeRows, insertTypeRows } from './support/type-rows.js';
import { TYPE_DDL, TYPE_GROUPS, type TypeGroup } from './support/type-values.js';

const ROWS = 400;

/** Types of one's own but enums have other numbers on the other side: their tables go as text. CockroachDB keeps a real as a double. */
const UNFIT: Readonly<Record<SecondaryDialect, readonly string[]>> = {
  postgres: ['percent', 'words', 'mood[]'],
  cockroach: ['real', 'real[]'],
};

/** The columns of a table whose types are known in binary, and how they are read. */
async function knownColumns(client: Client, table: string) {
  const { rows } = await client.query<Record<string, string>>(
    `SELECT a.attname AS name, t.oid::int8::text AS oid, t.typtype::text AS kind, t.typbasetype::int8::text AS base,
            e.oid::int8::text AS element, e.typtype::text AS element_kind, format_type(a.atttypid, a.atttypmod) AS type
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.typarray = t.oid
     WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`,
    [table],
  );
  const own = rows.map((row): OwnType => {
    const element = { oid: Number(row.element), kind: row.element_kind ?? '', base: 0, element: null };
    return {
      oid: Number(row.oid),
      kind: row.kind ?? '',
      base: Number(row.base),
      element: row.element ? element : null,
    };
  });
  const types = new BinaryTypes(own);
  return rows.flatMap((row) => {
    const decoder = types.decoder(Number(row.oid));
    return decoder ? [{ name: row.name as string, type: row.type as string, decoder }] : [];
  });
}

describe('values in binary', () => {
  const seed = testSeed();
  let pair: DatabasePair;
  let client: Client;
  beforeAll(async () => {
    pair = await createDatabasePair('binary');
    client = new Client({ connectionString: pair.primary.url, types: RAW_TEXT_TYPES });
    await client.connect();
    await client.query(`${TEXT_FORM_SQL}; ${TYPE_DDL} ${TYPE_GROUPS.map(createTypeTable).join('\n')}`);
    for (const group of TYPE_GROUPS) await insertTypeRows(client, group, generateTypeRows(group, seed, ROWS));
  });
  afterAll(async () => {
    await client?.end();
    await pair?.[Symbol.asyncDispose]();
  });

  it.each(TYPE_GROUPS.map(({ table }) => table))('have the text that PostgreSQL prints: %s', async (table) => {
    const columns = await knownColumns(client, table);
    expect(columns.length).toBeGreaterThan(0);
    const select = `SELECT ${columns.map(({ name }) => `"${name}"`).join(', ')} FROM ${table} ORDER BY id`;
    const text = await client.query<string[]>({ text: select, rowMode: 'array' });
    const copied = copiedLines(columns.map(({ decoder }) => decoder));
    const found: (string | null | undefined)[][] = [];
    await copyOut(client, `COPY (${select}) TO STDOUT${copied.format}`, (message) => {
      if (!copied.isEnd(message)) found.push([...copied.take(message).row]);
    });
    expect(found).toHaveLength(ROWS);
    columns.forEach(({ name, type }, i) => {
      const differing = found.flatMap((row, at) =>
        sameValue(type, row[i], text.rows[at]?.[i]) ? [] : [{ name, binary: row[i], text: text.rows[at]?.[i] }],
      );
      expect(differing, `seed ${seed}`).toEqual([]);
    });
  });

  it('are the same changes as in text: whole rows, keys, old rows, and values that the WAL leaves out', async () => {
    const { name, url } = pair.primary;
    await query(
      url,
      `CREATE TABLE keyed (id int8 PRIMARY KEY, a numeric, b text, big text, at timestamptz, tags text[], mo mood);
       ALTER TABLE keyed ALTER COLUMN big SET STORAGE EXTERNAL;
       CREATE TABLE whole (a int, b jsonb, f float8); ALTER TABLE whole REPLICA IDENTITY FULL;
       CREATE PUBLICATION p FOR TABLE keyed; CREATE PUBLICATION q FOR TABLE whole`,
    );
    const heard = async (publication: string, binary: boolean, slot: string) => {
      const messages: PgOutputMessage[] = [];
      const session = await openReplicationSession({
        ...{ connection: { connectionString: url }, publication, slot, startLsn: 0n, statusIntervalMs: 60_000 },
        ...{ binary, rawInserts: true, serverVersion: 180_000 },
        handler: { message: (message) => void messages.push(message), keepalive: () => undefined },
      });
      const [walsender] = await query(
        url,
        `SELECT query FROM pg_stat_activity WHERE backend_type = 'walsender' AND pid = (SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1)`,
        [slot],
      );
      await waitFor(() => messages.some((each) => each.kind === 'message' && each.prefix === 'end'), {
        what: 'the end',
      });
      await session.close();
      return {
        binary: String(walsender?.query).includes("binary 'true'"),
        changes: messages.filter(isChange).map(plain),
      };
    };
    const slots = ['p', 'q'].flatMap((publication) =>
      [true, false].map((binary) => ({ publication, binary, slot: `${name}_${publication}_${binary ? 'b' : 't'}` })),
    );
    await withClient(url, async (each) => {
      for (const { slot } of slots) await createSlot(each, slot);
    });
    await query(
      url,
      `INSERT INTO keyed SELECT i, i / 7.0, 'b' || i, repeat('x', 5000), '2026-01-01'::timestamptz + i * interval '1 h', ARRAY['a', NULL, i::text], 'a b' FROM generate_series(1, 50) i;
       UPDATE keyed SET a = a + 1 WHERE id < 10; UPDATE keyed SET big = 'short' WHERE id = 11; UPDATE keyed SET big = 'short', b = NULL WHERE id > 40;
       UPDATE keyed SET id = -id WHERE id = 12; DELETE FROM keyed WHERE id = 13; TRUNCATE keyed;
       INSERT INTO whole VALUES (1, '{"a": [1, null]}', 0.1), (NULL, NULL, '-infinity'); UPDATE whole SET b = '[]'; DELETE FROM whole WHERE a = 1;`,
    );
    await query(url, "SELECT pg_logical_emit_message(false, 'end', '')");
    const all: Awaited<ReturnType<typeof heard>>[] = [];
    for (const { binary, publication, slot } of slots) all.push(await heard(publication, binary, slot));
    expect(all[0]).toEqual({ ...all[1], binary: true });
    expect(all[0]?.changes.length).toBeGreaterThan(60);
    // A float names rows there.
    expect(all[2]).toEqual({ ...all[3], binary: false });
  });
});

/** Floats are equal where they read back as the same number: where digits may be left out, another choice may be made. */
function sameValue(type: string, ours: string | null | undefined, theirs: string | null | undefined): boolean {
  if (ours === theirs || typeof ours !== 'string' || typeof theirs !== 'string') return ours === theirs;
  const numbers = (text: string) => text.split(/[{},]+/).map(Number);
  const [a, b] = [numbers(ours), numbers(theirs)];
  if (type.startsWith('double')) return a.length === b.length && a.every((each, i) => Object.is(each, b[i]));
  if (type.startsWith('real'))
    return a.length === b.length && a.every((each, i) => Object.is(Math.fround(each), Math.fround(b[i] as number)));
  return false;
}

function isChange(message: PgOutputMessage): message is Change {
  return ['insert', 'update', 'delete', 'truncate'].includes(message.kind);
}

function plain(change: Change) {
  if (change.kind === 'truncate') return { kind: change.kind, of: change.relations.map(({ name }) => name) };
  const { kind, relation } = change;
  const row = change.kind === 'delete' ? null : [...change.row];
  return { kind, of: relation.name, row, old: change.kind === 'insert' ? null : change.old && [...change.old] };
}

describeDialects('a stream in binary', (dialect) => {
  const seed = testSeed();

  it('G1 G3 brings every value over, by COPY and by upserts', async () => {
    await using pair = await createDatabasePair('binary', dialect);
    const client = new Client({ connectionString: pair.primary.url, types: RAW_TEXT_TYPES });
    const secondary = new Client({ connectionString: pair.secondary.url, types: RAW_TEXT_TYPES });
    await Promise.all([client.connect(), secondary.connect()]);
    try {
      await client.query(`${TEXT_FORM_SQL}; ${TYPE_DDL} ${TYPE_GROUPS.map(createTypeTable).join('\n')}`);
      const version = (await secondary.query('SELECT version()')).rows[0]?.version ?? '';
      await secondary.query(dialectOf(version).sessionSql);
      const groups: TypeGroup[] = [];
      for (const { columns, table } of TYPE_GROUPS) {
        const known = (await knownColumns(client, table)).map(({ name }) => name);
        const kept = columns.filter(({ name, type }) => known.includes(name) && !UNFIT[dialect].includes(type));
        if (kept.length === 0) {
          await client.query(`DROP TABLE ${table}`);
          continue;
        }
        groups.push({ table, columns: kept });
        await client.query(`DROP TABLE ${table}; ${createTypeTable({ table, columns: kept })}`);
      }
      const all = groups.map((group) => generateTypeRows(group, seed, ROWS));
      const insert = async (from: number, to: number) => {
        for (const [i, group] of groups.entries())
          await insertTypeRows(client, group, all[i]?.slice(from, to) ?? [], from);
      };
      await insert(0, 100);
      await using stream = await new RunningStream(pair).streaming();
      await waitFor(() => stream.streamer.registry.all().every(({ state }) => state === 'streaming'), {
        what: 'the load',
      });
      const names = groups.map(({ table }) => table);
      const compared = await canonicalTables(client, secondary, names, dialect);
      const same = async () => {
        await stream.caughtUp();
        expect(await walsenderQuery(pair)).toContain("binary 'true'");
        for (const [name, table] of compared)
          expect(await rangeHashOf(secondary, 'secondary', table, dialect), `${name}, seed ${seed}`).toEqual(
            await rangeHashOf(client, 'primary', table, dialect),
          );
        if (dialect === 'cockroach') return;
        for (const name of names)
          expect(await contents(pair, 'secondary', name), name).toEqual(await contents(pair, 'primary', name));
      };
      await insert(100, ROWS);
      await same();
      for (const { columns, table } of groups) {
        const set = columns.map(({ name }) => `${name} = o.${name}`).join(', ');
        await client.query(
          `UPDATE ${table} AS t SET ${set} FROM ${table} AS o WHERE t.id % 3 = 1 AND o.id = (t.id * 7 + 3) % ${ROWS}`,
        );
        await client.query(
          `UPDATE ${table} SET id = id + 1000 WHERE id % 50 = 0; DELETE FROM ${table} WHERE id % 50 = 7`,
        );
      }
      await same();
      expect(stream.streamer.snapshot()).toMatchObject({ status: 'streaming', deadLetters: 0, dropped: 0 });
    } finally {
      await Promise.all([client.end(), secondary.end()]);
    }
  }, 120_000);

  it('G9 brings over what stands at the edges of a type, and refuses what cannot be held', async () => {
    await using pair = await createDatabasePair('binary', dialect);
    const { url } = pair.primary;
    await query(
      url,
      `CREATE TABLE edges (id int PRIMARY KEY, t timestamp, tz timestamptz, d date, n numeric(20,2), plain numeric, j jsonb);
       CREATE TABLE refused (id int PRIMARY KEY, tz timestamptz)`,
    );
    await using stream = await new RunningStream(pair).streaming();
    await waitFor(() => stream.streamer.registry.all().every(({ state }) => state === 'streaming'), {
      what: 'the load',
    });
    expect(await walsenderQuery(pair)).toContain("binary 'true'");
    await query(
      url,
      `INSERT INTO edges VALUES (1, 'infinity', '-infinity', 'infinity', 100, 100.000, '{}'), (2, '-infinity', 'infinity', '-infinity', 0, 0.00, '1'),
         (3, '0044-03-15 12:00:00.5 BC', '0044-03-15 12:00:00.5+00 BC', '0044-03-15 BC', -0.5, 1e20, '"\\""'), (4, NULL, NULL, NULL, NULL, NULL, NULL),
         (5, '294276-12-31 23:00:00', '4714-11-25 00:00:00+00 BC', '9999-12-31', 999999999999999999.99, -1e-20, 'null'),
         (6, '2026-01-01', '2026-01-01 00:00:00.000001+00', '2026-01-01', 'NaN', 'NaN', '[]')`,
    );
    await query(url, `INSERT INTO refused VALUES (1, '2026-01-01'), (2, '294276-12-31 23:59:59.999999+00')`);
    await stream.caughtUp();
    const shown = `SELECT id, t::text AS t, tz::text AS tz, d::text AS d, n::text AS n, plain::text AS plain, j::text AS j FROM edges ORDER BY id`;
    const [ours, theirs] = await Promise.all([query(url, shown), query(pair.secondary.url, shown)]);
    // Years before Christ and infinity are printed in another way by CockroachDB: what it was given, as text, is compared.
    await query(pair.secondary.url, 'CREATE TABLE given AS SELECT * FROM edges WHERE id = 0');
    for (const { id, t, tz, d, n, plain, j } of ours as Record<string, string | null>[])
      await query(
        pair.secondary.url,
        'INSERT INTO given VALUES ($1::int, $2::text::timestamp, $3::text::timestamptz, $4::text::date, $5::text::numeric(20,2), $6::text::numeric, $7::text::jsonb)',
        [id, t, tz, d, n, plain, j],
      );
    expect(theirs).toEqual(await query(pair.secondary.url, shown.replace('edges', 'given')));
    if (dialect === 'postgres') {
      expect(theirs).toEqual(ours);
      return;
    }
    const state = stream.streamer.snapshot();
    expect(state.tables.map(({ name, state }) => [name, state]).sort()).toEqual([
      ['edges', 'streaming'],
      ['refused', 'paused'],
    ]);
    expect(state).toMatchObject({ deadLetters: 1, dropped: 0 });
    expect(await query(pair.secondary.url, 'SELECT id::text AS id FROM refused')).toEqual([{ id: '1' }]);
  }, 60_000);

  it.each(['real', 'real[]', 'single'])(
    'has a number of four bytes in binary where it is kept so: %s',
    async (type) => {
      await using pair = await createDatabasePair('binary', dialect);
      await query(
        pair.primary.url,
        `CREATE DOMAIN single AS real; CREATE TABLE t (id int PRIMARY KEY, a text, r ${type})`,
      );
      await using stream = await new RunningStream(pair).streaming();
      const binary = expect(await walsenderQuery(pair));
      if (dialect === 'postgres') binary.toContain("binary 'true'");
      else binary.not.toContain("binary 'true'");
      await query(pair.primary.url, `INSERT INTO t SELECT 1, 'a', ${type === 'real[]' ? 'ARRAY[0.1::real]' : '0.1'}`);
      await stream.caughtUp();
      const text = type === 'real[]' ? '{0.1}' : '0.1';
      expect(await query(pair.secondary.url, 'SELECT r::text AS r FROM t')).toEqual([{ r: text }]);
    },
  );
});

describe('a stream in binary to a PostgreSQL', () => {
  it('G9 asks for text when a type comes that it does not read in binary, and loses nothing', async () => {
    await using pair = await createDatabasePair('binary');
    const { url } = pair.primary;
    await query(url, `CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one')`);
    await using stream = await new RunningStream(pair).streaming();
    await stream.caughtUp();
    expect(await walsenderQuery(pair)).toContain("binary 'true'");
    await query(
      url,
      `ALTER TABLE t ADD COLUMN i interval; INSERT INTO t SELECT n, 'n', n * interval '1 day' FROM generate_series(2, 300) n`,
    );
    await stream.caughtUp();
    expect(await contents(pair, 'secondary', 't')).toEqual(await contents(pair, 'primary', 't'));
    expect(await walsenderQuery(pair)).not.toContain("binary 'true'");
    expect(stream.streamer.snapshot().status).toBe('streaming');
  });

  it.each(['a int2vector', 'a float8 UNIQUE', 'a inet[]'])('asks for text from the beginning: %s', async (column) => {
    await using pair = await createDatabasePair('binary');
    await query(pair.primary.url, `CREATE TABLE t (id int PRIMARY KEY, ${column}); INSERT INTO t VALUES (1), (2)`);
    await using stream = await new RunningStream(pair).streaming();
    expect(await walsenderQuery(pair)).not.toContain("binary 'true'");
    await query(pair.primary.url, 'UPDATE t SET id = id + 5');
    await stream.caughtUp();
    expect(await contents(pair, 'secondary', 't')).toEqual(await contents(pair, 'primary', 't'));
  });

  it('G9 takes no value for one of another type where somebody changes the table on the secondary', async () => {
    await using pair = await createDatabasePair('binary');
    await query(pair.primary.url, 'CREATE TABLE t (id int PRIMARY KEY, a int8, b int4, c varchar(20))');
    await using stream = await new RunningStream(pair).streaming();
    await waitFor(() => stream.streamer.registry.all().every(({ state }) => state === 'streaming'), {
      what: 'the load',
    });
    const insert = (from: number) =>
      query(pair.primary.url, `INSERT INTO t SELECT n, n, n, n FROM generate_series(${from}, ${from + 199}) n`);
    await insert(1);
    await stream.caughtUp();
    // Of as many bytes, of more, and one that takes the text and nothing else.
    await query(
      pair.secondary.url,
      'ALTER TABLE t ALTER a TYPE float8, ALTER b TYPE int8, ALTER c TYPE int USING c::int',
    );
    await insert(1001);
    await stream.caughtUp();
    await insert(2001);
    await stream.caughtUp();
    expect(await contents(pair, 'secondary', 't')).toEqual(await contents(pair, 'primary', 't'));
    const types = `SELECT format_type(atttypid, NULL) AS type FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'a'`;
    expect(await query(pair.secondary.url, types)).toEqual([{ type: 'double precision' }]);
    expect(stream.streamer.registry.all().map(({ state }) => state)).toEqual(['streaming']);
  });

  it('looks at the types as they are, whatever isolation sessions have by default', async () => {
    await using pair = await createDatabasePair('binary');
    const { name, url } = pair.secondary;
    await query(url, `ALTER DATABASE "${name}" SET default_transaction_isolation = 'serializable'`);
    const session = await TargetSession.connect({ connectionString: url });
    try {
      const { rows } = await session.run({ text: 'SHOW transaction_isolation', values: [] });
      expect(rows).toEqual([{ transaction_isolation: 'read committed' }]);
    } finally {
      await session.close();
    }
  });

  it('G3 brings over a table whose columns have other types there, and rows that are there already', async () => {
    await using pair = await createDatabasePair('binary');
    await query(
      pair.primary.url,
      'CREATE TABLE t (id int PRIMARY KEY, a int, b varchar(10)); CREATE TABLE u (id int PRIMARY KEY, a numeric)',
    );
    await query(pair.secondary.url, 'CREATE TABLE t (id int PRIMARY KEY, a bigint, b text)');
    await using stream = await new RunningStream(pair).streaming();
    await waitFor(() => stream.streamer.registry.all().every(({ state }) => state === 'streaming'), {
      what: 'the load',
    });
    await query(pair.secondary.url, 'INSERT INTO u VALUES (7, -1)');
    await query(
      pair.primary.url,
      `INSERT INTO t SELECT n, n, 'n' FROM generate_series(1, 200) n; INSERT INTO u SELECT n, n FROM generate_series(1, 200) n; UPDATE t SET a = a + 1`,
    );
    await stream.caughtUp();
    for (const table of ['t', 'u'])
      expect(await contents(pair, 'secondary', table)).toEqual(await contents(pair, 'primary', table));
  });
});

async function contents(pair: DatabasePair, side: 'primary' | 'secondary', table: string): Promise<unknown[]> {
  return (await query(pair[side].url, `SELECT t::text AS row FROM ${table} AS t ORDER BY id`)).map(({ row }) => row);
}

async function walsenderQuery(pair: DatabasePair): Promise<string> {
  const [row] = await query(
    pair.primary.url,
    `SELECT a.query FROM pg_stat_activity a JOIN pg_replication_slots s ON s.active_pid = a.pid WHERE s.slot_name = $1`,
    [`dbr_${pair.primary.name}`],
  );
  return String(row?.query);
}
