/** The harness itself, which every other test relies on: waiting, shared databases, dumps. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { canonicalJson, canonicalNumber, canonicalValue } from './canonical.js';
import { createDatabasePair, getPrimary, getSecondary } from './cluster.js';
import { detectCockroach } from './cockroach.js';
import { describeDialects, secondaryDialects } from './secondary-dialects.js';
import { canonicalDump, dumpTable, query } from './sql.js';
import { waitFor } from './wait.js';

describe('waitFor', () => {
  it('returns the first truthy value', async () => {
    let calls = 0;
    const condition = () => {
      calls += 1;
      return calls >= 3 && `call ${calls}`;
    };
    expect(await waitFor(condition, { what: 'three calls' })).toBe('call 3');
  });

  it('names what it waited for, and the last value or error', async () => {
    await expect(waitFor(() => 0, { what: 'a miracle', timeoutMs: 20 })).rejects.toThrow(
      'Waited 20 ms for a miracle; last value: 0',
    );
    const failing = () => Promise.reject(new Error('not yet'));
    await expect(waitFor(failing, { what: 'it', timeoutMs: 20 })).rejects.toThrow('last error: Error: not yet');
  });

  it('gives up at once on a fatal error', async () => {
    const failing = () => Promise.reject(new Error('dead'));
    await expect(waitFor(failing, { what: 'it', fatal: () => true })).rejects.toThrow(/^dead$/);
  });
});

describe('cluster', () => {
  it('gives two servers that decode logically', async () => {
    const [primary, secondary] = await Promise.all([getPrimary(), getSecondary()]);
    expect(primary.url()).not.toBe(secondary.url());
    expect(await query(primary.url(), 'SHOW wal_level')).toEqual([{ wal_level: 'logical' }]);
    expect((await getPrimary()).url()).toBe(primary.url());
  });

  it('drops databases that still have sessions, an active slot and a walsender', async () => {
    const pair = await createDatabasePair('leftover');
    await using server = { client: new Client(pair.primary.url), [Symbol.asyncDispose]: () => server.client.end() };
    server.client.on('error', () => undefined);
    await server.client.connect();
    const slot = `slot_${pair.primary.name}`;
    await server.client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
    await server.client.query('CREATE PUBLICATION p FOR ALL TABLES');
    const receiver = new Client(`${pair.primary.url}?replication=database`);
    receiver.on('error', () => undefined);
    await receiver.connect();
    const streaming = receiver
      .query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')`)
      .catch((error: Error) => error);
    const slots = () => query(pair.primary.url, 'SELECT active FROM pg_replication_slots WHERE slot_name = $1', [slot]);
    await waitFor(async () => (await slots())[0]?.active, { what: 'the walsender holds the slot' });

    await pair[Symbol.asyncDispose]();

    const primary = (await getPrimary()).url();
    const secondary = (await getSecondary()).url();
    expect(await query(primary, 'SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [slot])).toEqual([]);
    for (const url of [primary, secondary]) {
      expect(await query(url, 'SELECT 1 FROM pg_database WHERE datname = $1', [pair.primary.name])).toEqual([]);
    }
    expect(await streaming).toBeInstanceOf(Error);
  });
});

describe('secondary dialects', () => {
  it('always has PostgreSQL, and gives a reason for what is missing', () => {
    expect(secondaryDialects.map(({ dialect }) => dialect)).toEqual(['postgres', 'cockroach']);
    expect(secondaryDialects[0]?.available).toBe(true);
    for (const choice of secondaryDialects) expect(choice.available).toBe(choice.reason === undefined);
  });
});

describe('the CockroachDB of a run', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is looked for by TEST_COCKROACH_URL, then COCKROACH_BIN, then PATH, then Docker; a wish that cannot be met is an error', async () => {
    await using folder = await programFolder('cockroach');
    vi.stubEnv('TEST_COCKROACH_URL', 'postgresql://root@127.0.0.1:1/defaultdb');
    vi.stubEnv('COCKROACH_BIN', process.execPath);
    vi.stubEnv('PATH', folder.path);
    expect(await detectCockroach()).toMatchObject({ kind: 'url', url: 'postgresql://root@127.0.0.1:1/defaultdb' });
    vi.stubEnv('TEST_COCKROACH_URL', '');
    expect(await detectCockroach()).toMatchObject({ kind: 'binary', path: process.execPath });
    vi.stubEnv('COCKROACH_BIN', '');
    expect(await detectCockroach()).toMatchObject({ kind: 'binary', path: join(folder.path, 'cockroach') });
    vi.stubEnv('PATH', '');
    expect(['docker', 'none']).toContain((await detectCockroach()).kind);
    vi.stubEnv('COCKROACH_BIN', join(folder.path, 'nothing'));
    await expect(detectCockroach()).rejects.toThrow(/which is no program/);
  });
});

/** A folder with an executable file of that name, which does nothing. */
async function programFolder(name: string) {
  const path = await mkdtemp(join(tmpdir(), 'dbr-path-'));
  await writeFile(join(path, name), '', { mode: 0o755 });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

describeDialects('database pair', (dialect) => {
  it('has two empty databases, whose tables compare equal by value', async () => {
    await using pair = await createDatabasePair('pair', dialect);
    const version = await query<{ version: string }>(pair.secondary.url, 'SELECT version()');
    expect(version[0]?.version).toMatch(dialect === 'cockroach' ? /CockroachDB/ : /PostgreSQL 18/);
    const columns = ['id INT8 PRIMARY KEY', 'n NUMERIC', 'f FLOAT8', 'j JSONB', 't TIMESTAMPTZ', 'a TEXT[]', 'b BYTEA'];
    await query(pair.primary.url, `CREATE TABLE t (${columns.join(', ')})`);
    await query(pair.secondary.url, `CREATE TABLE t (${columns.reverse().join(', ')})`);
    for (const { url } of [pair.primary, pair.secondary]) {
      await query(url, 'INSERT INTO t (id, n, f, j, t, a, b) VALUES ($1, $2, $3, $4, $5, $6, $7)', [
        1,
        '1.50',
        1e300,
        '{"bb": 1.0, "a": [1e2, null]}',
        '2026-01-02 03:04:05.600+02',
        ['x y', null, '"\\'],
        '\\x00ff',
      ]);
      await query(url, 'INSERT INTO t (id) VALUES (2)');
    }
    const rows = await canonicalDump(pair.primary.url, 't');
    expect(rows[0]).toEqual({
      id: '1',
      n: '1.5',
      f: '1e+300',
      j: '{"a":[100,null],"bb":1}',
      t: '2026-01-02 01:04:05.6+00',
      a: '["x y",null,"\\"\\\\"]',
      b: '\\x00ff',
    });
    expect(await canonicalDump(pair.secondary.url, 't')).toEqual(rows);
  });
});

describe('sql', () => {
  it('dumps rows as text, apart from the order of columns and rows', async () => {
    await using pair = await createDatabasePair('dump');
    await query(
      pair.primary.url,
      `CREATE SCHEMA "S"; CREATE TABLE "S"."T" (a int, b text); INSERT INTO "S"."T" VALUES (10, 'x'), (9, null)`,
    );
    await query(pair.secondary.url, 'CREATE TABLE t (b text, a int)');
    await query(pair.secondary.url, "INSERT INTO t VALUES (null, 9), ('x', 10)");
    const dumped = await dumpTable(pair.primary.url, 'S.T');
    expect(dumped).toEqual([
      { a: '10', b: 'x' },
      { a: '9', b: null },
    ]);
    expect(await dumpTable(pair.primary.url, { schema: 'S', name: 'T' })).toEqual(dumped);
    expect(await dumpTable(pair.secondary.url, 't')).toEqual(dumped);
    expect((await dumpTable(pair.secondary.url, 't', 'a')).map((row) => row.a)).toEqual(['9', '10']);
  });

  it('returns the rows of the last of several statements', async () => {
    expect(await query((await getPrimary()).url(), 'SELECT 1 AS a; SELECT 2 AS a')).toEqual([{ a: 2 }]);
  });

  it.each([
    ['1.50', '1.5'],
    ['-0.0', '0'],
    ['1E+2', '100'],
    ['12.5e-3', '0.0125'],
    ['1.25e1', '12.5'],
    ['007', '7'],
    ['.5', '0.5'],
    ['NaN', 'NaN'],
    ['123456789012345678901234567890.10', '123456789012345678901234567890.1'],
  ])('writes the number %s as %s', (text, canonical) => {
    expect(canonicalNumber(text)).toBe(canonical);
  });

  it('writes JSON, times and arrays in one form', () => {
    expect(canonicalJson('{"b": [1, {"y":2,"x":"\\u00e9"}], "a": 12345678901234567890.0}')).toBe(
      '{"a":12345678901234567890,"b":[1,{"x":"é","y":2}]}',
    );
    expect(canonicalValue('2026-01-02 03:04:05.100+00:00', 1184)).toBe('2026-01-02 03:04:05.1+00');
    expect(canonicalValue('2026-01-02 03:04:05.000', 1114)).toBe('2026-01-02 03:04:05');
    expect(canonicalValue('2026-01-02 03:04:05+05:30', 1184)).toBe('2026-01-02 03:04:05+05:30');
    expect(canonicalValue('{a,"b c",NULL,"NULL"}', 1009)).toBe(canonicalValue('{"a","b c",NULL,"NULL"}', 1009));
    expect(canonicalValue('{a,"b c",NULL,"NULL"}', 1009)).toBe('["a","b c",null,"NULL"]');
    expect(canonicalValue('{{1.0,2},{3,4}}', 1231)).toBe('[["1","2"],["3","4"]]');
    expect(canonicalValue('{}', 1009)).toBe('[]');
  });
});
