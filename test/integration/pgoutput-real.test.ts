/** The decoder and the replication session against a real walsender: every kind of message, and exact resumption. */
import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { describe, expect, it } from 'vitest';
import type { Change, Relation, Row } from '../../src/core/change.js';
import { sqlstateOf } from '../../src/core/policy.js';
import type { PgOutputMessage } from '../../src/source/pgoutput.js';
import {
  openReplicationSession,
  type ReplicationSession,
  type SessionOptions,
} from '../../src/source/replication-session.js';
import { createSlot, dropSlot, ensurePublication, readSlot, readSourceState } from '../../src/source/slot.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

type Message = PgOutputMessage;
type Commit = Extract<Message, { kind: 'commit' }>;

/** A database with a publication of all its tables and a slot, and the sessions that were opened on it. */
class Source implements AsyncDisposable {
  readonly url: string;
  readonly slot: string;
  readonly #pair: AsyncDisposable;
  readonly #streams: Stream[] = [];

  private constructor(pair: AsyncDisposable, url: string, slot: string) {
    this.#pair = pair;
    this.url = url;
    this.slot = slot;
  }

  static async create(ddl: string): Promise<Source> {
    const pair = await createDatabasePair('decode');
    const source = new Source(pair, pair.primary.url, `slot_${pair.primary.name}`);
    await source.sql(ddl);
    await source.sql('CREATE PUBLICATION "the ""Pub""" FOR ALL TABLES');
    await withClient(source.url, (client) => createSlot(client, source.slot));
    return source;
  }

  sql(text: string, params?: readonly unknown[]): Promise<Record<string, unknown>[]> {
    return query(this.url, text, params);
  }

  async open(options: Partial<SessionOptions> = {}): Promise<Stream> {
    const stream = await Stream.open({
      connection: { connectionString: this.url },
      slot: this.slot,
      publication: 'the "Pub"',
      startLsn: 0n,
      statusIntervalMs: 60_000,
      serverVersion: 180_000,
      ...options,
    });
    this.#streams.push(stream);
    return stream;
  }

  /** Closes, and waits until the server has let go of the slot. */
  async close(stream: Stream): Promise<void> {
    await stream.session.close();
    await waitFor(async () => !(await slotOf(this))?.active, { what: 'the slot is free' });
  }

  /** Runs `sql` and returns what the stream says of it, transaction marks and announcements left out. */
  async changesOf(stream: Stream, sql: string): Promise<Change[]> {
    const from = stream.messages.length;
    await this.sql(sql);
    await this.sql("SELECT pg_logical_emit_message(false, 'end', ''), pg_current_xact_id()");
    await waitFor(() => stream.messages.slice(from).some((each) => each.kind === 'message' && each.prefix === 'end'), {
      what: 'the end of the changes',
    });
    return stream.messages.slice(from).filter(isChange);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#streams.map((stream) => stream.session.close()));
    await this.#pair[Symbol.asyncDispose]();
  }
}

class Stream {
  readonly messages: Message[] = [];
  readonly keepalives: bigint[] = [];
  session!: ReplicationSession;
  bytes = 0;

  static async open(options: Omit<SessionOptions, 'handler'>): Promise<Stream> {
    const stream = new Stream();
    stream.session = await openReplicationSession({
      ...options,
      handler: {
        message: (message, bytes) => {
          stream.messages.push(message);
          stream.bytes += bytes;
        },
        keepalive: (lsn) => stream.keepalives.push(lsn),
      },
    });
    return stream;
  }

  get commits(): Commit[] {
    return this.messages.filter((message): message is Commit => message.kind === 'commit');
  }

  /** First column of the inserted rows. */
  get inserted(): unknown[] {
    return this.messages.filter((message) => message.kind === 'insert').map((message) => message.row[0]);
  }
}

function isChange(message: Message): message is Change {
  return ['insert', 'update', 'delete', 'truncate'].includes(message.kind);
}

const plain = (changes: readonly Change[]) =>
  changes.map((change) => {
    if (change.kind === 'truncate') return { ...change, relations: change.relations.map(({ name }) => name) };
    const { relation, ...rest } = change;
    return { table: relation.name, ...rest };
  });

describe('changes', () => {
  it('come as positional text, NULL apart from the empty string', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY, a text, b numeric, c bytea)');
    const stream = await source.open();
    const sql = `INSERT INTO t VALUES (1, '', NULL, '\\x00ff'), (2, 'null', 'NaN', ''); UPDATE t SET a = 'é😀' WHERE id = 1; DELETE FROM t WHERE id = 2`;
    expect(plain(await source.changesOf(stream, sql))).toEqual([
      { table: 't', kind: 'insert', row: ['1', '', null, '\\x00ff'] },
      { table: 't', kind: 'insert', row: ['2', 'null', 'NaN', '\\x'] },
      { table: 't', kind: 'update', old: null, oldIs: null, row: ['1', 'é😀', null, '\\x00ff'] },
      { table: 't', kind: 'delete', old: ['2', null, null, null], oldIs: 'key' },
    ]);
  });

  it('of a transaction share its begin and commit', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const stream = await source.open();
    const before = Date.now();
    const rows = await source.sql(
      'BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; INSERT INTO t VALUES (3); SELECT pg_current_xact_id()::text AS xid; COMMIT; SELECT 1 AS done',
    );
    expect(rows).toEqual([{ done: 1 }]);
    await waitFor(() => stream.commits.length > 0, { what: 'the commit' });
    const [begin, , ...rest] = stream.messages;
    if (begin?.kind !== 'begin') throw new Error('begin expected');
    expect(stream.inserted).toEqual(['1', '3']);
    const commit = rest.at(-1) as Commit;
    expect(commit).toMatchObject({ kind: 'commit', commitLsn: begin.commitLsn, commitAtMs: begin.commitAtMs });
    expect(commit.endLsn > commit.commitLsn).toBe(true);
    expect(Math.abs(begin.commitAtMs - before)).toBeLessThan(60_000);
    const [status] = await source.sql('SELECT pg_xact_status($1::xid8) AS status', [String(begin.xid)]);
    expect(status).toEqual({ status: 'committed' });
  });

  it('leave out unchanged TOAST values, also where the key changes', async () => {
    await using source = await Source.create(
      "CREATE TABLE t (id int PRIMARY KEY, n int, big text STORAGE EXTERNAL); INSERT INTO t VALUES (1, 1, repeat('x', 9000))",
    );
    const stream = await source.open();
    const sql = 'UPDATE t SET n = 2; UPDATE t SET id = 5; UPDATE t SET big = NULL';
    expect(plain(await source.changesOf(stream, sql)).slice(-3)).toEqual([
      { table: 't', kind: 'update', old: null, oldIs: null, row: ['1', '2', undefined] },
      { table: 't', kind: 'update', old: ['1', null, null], oldIs: 'key', row: ['5', '2', undefined] },
      { table: 't', kind: 'update', old: null, oldIs: null, row: ['5', '2', null] },
    ]);
  });

  it('of a key that is itself stored out of line come with the old key, and not the new one', async () => {
    // What the fold makes of this: "a key that is stored out of line" in test/unit/fold.test.ts.
    await using source = await Source.create('CREATE TABLE t (a text, b int, n int, PRIMARY KEY (a, b))');
    const stream = await source.open();
    // Beyond 2 kB and not compressible: out of line; below 2.7 kB: an index takes it.
    const key = Array.from({ length: 75 }, (_, i) => createHash('md5').update(String(i)).digest('hex')).join('');
    const sql = `INSERT INTO t VALUES ('${key}', 1, 1); UPDATE t SET n = 2; DELETE FROM t`;
    expect(plain(await source.changesOf(stream, sql))).toEqual([
      { table: 't', kind: 'insert', row: [key, '1', '1'] },
      { table: 't', kind: 'update', old: [key, '1', null], oldIs: 'key', row: [undefined, '1', '2'] },
      { table: 't', kind: 'delete', old: [key, '1', null], oldIs: 'key' },
    ]);
  });

  it('carry the whole old row under REPLICA IDENTITY FULL', async () => {
    await using source = await Source.create(
      "CREATE TABLE t (n int, big text STORAGE EXTERNAL); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, repeat('x', 9000)), (1, NULL)",
    );
    const stream = await source.open();
    const big = 'x'.repeat(9000);
    const sql = 'UPDATE t SET n = 2 WHERE big IS NOT NULL; DELETE FROM t';
    expect(plain(await source.changesOf(stream, sql)).slice(-3)).toEqual([
      { table: 't', kind: 'update', old: ['1', big], oldIs: 'full', row: ['2', undefined] },
      { table: 't', kind: 'delete', old: ['1', null], oldIs: 'full' },
      { table: 't', kind: 'delete', old: ['2', big], oldIs: 'full' },
    ]);
  });

  it('carry the columns of a unique index where that is the replica identity', async () => {
    await using source = await Source.create(
      'CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL UNIQUE); ALTER TABLE t REPLICA IDENTITY USING INDEX t_code_key',
    );
    const stream = await source.open();
    const sql = "INSERT INTO t VALUES (1, 'a'); UPDATE t SET id = 2; UPDATE t SET code = 'b'; DELETE FROM t";
    expect(plain(await source.changesOf(stream, sql))).toEqual([
      { table: 't', kind: 'insert', row: ['1', 'a'] },
      { table: 't', kind: 'update', old: null, oldIs: null, row: ['2', 'a'] },
      { table: 't', kind: 'update', old: [null, 'a'], oldIs: 'key', row: ['2', 'b'] },
      { table: 't', kind: 'delete', old: [null, 'b'], oldIs: 'key' },
    ]);
    const relation = stream.messages.find((each) => each.kind === 'relation')?.relation as Relation;
    expect(relation).toMatchObject({ replicaIdentity: 'i', columns: [{ isKey: false }, { isKey: true }] });
  });

  it('include TRUNCATE of several tables, with its options', async () => {
    await using source = await Source.create(
      'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY REFERENCES a); CREATE TABLE c (id serial PRIMARY KEY)',
    );
    const stream = await source.open();
    const sql =
      'TRUNCATE c; TRUNCATE a CASCADE; TRUNCATE c RESTART IDENTITY; TRUNCATE a, c, b RESTART IDENTITY CASCADE';
    const flags = (cascade: boolean, restartIdentity: boolean) => ({ kind: 'truncate', cascade, restartIdentity });
    expect(plain(await source.changesOf(stream, sql))).toEqual([
      { ...flags(false, false), relations: ['c'] },
      { ...flags(true, false), relations: ['a', 'b'] },
      { ...flags(false, true), relations: ['c'] },
      { ...flags(true, true), relations: ['a', 'c', 'b'] },
    ]);
  });

  it('announce a table anew when its shape changes, and only then', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY, a varchar(10), b text)');
    const stream = await source.open();
    const changes = await source.changesOf(
      stream,
      `INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);
       ALTER TABLE t ADD COLUMN c numeric(8,2) DEFAULT 1.5; INSERT INTO t VALUES (3);
       ALTER TABLE t DROP COLUMN b; ALTER TABLE t RENAME a TO "A é"; INSERT INTO t VALUES (4);
       ALTER TABLE t ALTER "A é" TYPE varchar(20); UPDATE t SET c = 2 WHERE id = 4;
       ALTER TABLE t RENAME TO "t 2"; ALTER TABLE "t 2" REPLICA IDENTITY FULL; DELETE FROM "t 2" WHERE id = 4`,
    );
    const relations = stream.messages.filter((each) => each.kind === 'relation').map((each) => each.relation);
    const shape = (relation: Relation) =>
      `${relation.name} ${relation.replicaIdentity} ${relation.columns.map(({ name, typmod, isKey }) => `${name}${isKey ? '*' : ''}(${typmod})`)}`;
    // Rewriting a table announces its temporary copy to nobody.
    expect(relations.map(shape)).toEqual([
      't d id*(-1),a(14),b(-1)',
      't d id*(-1),a(14),b(-1),c(524294)',
      't d id*(-1),A é(14),c(524294)',
      't d id*(-1),A é(24),c(524294)',
      't 2 f id*(-1),A é*(24),c*(524294)',
    ]);
    const byRow = changes.map((change) => (change.kind === 'truncate' ? -1 : relations.indexOf(change.relation)));
    expect(byRow).toEqual([0, 0, 1, 2, 3, 4]);
  });

  it('of tables and columns with hostile names are told apart', async () => {
    const names = ['Ünï "quoted"', "a'b\\c", 'select', 'UPPER', '日本語 😀', 'tab\there'];
    const quoted = names.map((name) => `"${name.replaceAll('"', '""')}"`);
    const tables = quoted.map((name) => `CREATE TABLE "Sch.""éma"."${name.slice(1, -1)}" (${name} int PRIMARY KEY)`);
    await using source = await Source.create(`CREATE SCHEMA "Sch.""éma"; ${tables.join(';')}`);
    const stream = await source.open();
    await source.changesOf(stream, quoted.map((name, i) => `INSERT INTO "Sch.""éma".${name} VALUES (${i})`).join(';'));
    const relations = stream.messages.filter((each) => each.kind === 'relation').map((each) => each.relation);
    expect(relations.map(({ schema, name, columns }) => [schema, name, columns[0]?.name])).toEqual(
      names.map((name) => ['Sch."éma', name, name]),
    );
  });

  it('carry a value of 50 MB', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY, big text)');
    const stream = await source.open();
    const changes = await source.changesOf(stream, "INSERT INTO t VALUES (1, repeat('0123456789', 5000000))");
    const row = (changes[0] as { row: Row }).row;
    expect(row[1]?.length).toBe(50_000_000);
    expect(row[1] === '0123456789'.repeat(5_000_000)).toBe(true);
    expect(stream.bytes).toBeGreaterThan(50_000_000);
  });

  it('have one text form whatever the role and the database are set to', async () => {
    await using source = await Source.create(
      'CREATE TABLE t (id int PRIMARY KEY, ts timestamptz, d date, i interval, f float8, b bytea, m money, x xml)',
    );
    const database = new URL(source.url).pathname.slice(1);
    for (const setting of [
      "DateStyle = 'German'",
      "IntervalStyle = 'iso_8601'",
      "TimeZone = 'Asia/Kolkata'",
      'extra_float_digits = -5',
      "bytea_output = 'escape'",
      "client_encoding = 'LATIN1'",
    ])
      await source.sql(`ALTER DATABASE "${database}" SET ${setting}`);
    const stream = await source.open();
    const changes = await source.changesOf(
      stream,
      `INSERT INTO t VALUES (1, '2026-01-24 20:00:00+00', '2026-12-31', '1 day 02:03:04', 0.1::float8 + 0.2, '\\x00ff', '-1234.5', '<a>é</a>')`,
    );
    const text = ['1', '2026-01-24 20:00:00+00', '2026-12-31', '1 day 02:03:04', '0.30000000000000004', '\\x00ff'];
    expect((changes[0] as { row: Row }).row).toEqual([...text, '-$1,234.50', '<a>é</a>']);
  });
});

describe('logical messages', () => {
  it('come at once outside transactions, and with the commit inside', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const stream = await source.open();
    await withClient(source.url, async (client) => {
      await client.query('BEGIN');
      await client.query("SELECT pg_logical_emit_message(true, 'tx', 'é'), pg_logical_emit_message(false, 'now', '1')");
      await client.query('INSERT INTO t VALUES (1)');
      await source.sql("SELECT pg_logical_emit_message(false, 'now', '2'), pg_current_xact_id()");
      await client.query('COMMIT');
      await client.query('BEGIN');
      await client.query(
        "SELECT pg_logical_emit_message(true, 'tx', 'lost'), pg_logical_emit_message(false, 'now', '3')",
      );
      await client.query('ROLLBACK');
    });
    await source.changesOf(stream, 'INSERT INTO t VALUES (2)');
    const messages = stream.messages.filter((each) => each.kind === 'message').slice(0, -1);
    expect(messages.map(({ prefix, content, transactional }) => [prefix, content, transactional])).toEqual([
      ['now', '1', false],
      ['now', '2', false],
      ['tx', 'é', true],
      ['now', '3', false],
    ]);
    const kinds = stream.messages.map((each) => each.kind);
    expect(kinds.slice(kinds.indexOf('begin'), kinds.indexOf('begin') + 2)).toEqual(['begin', 'message']);
    const lsns = messages.filter((each) => !each.transactional).map((each) => each.lsn);
    expect(lsns).toEqual([...lsns].sort((a, b) => Number(a - b)));
  });
});

describe('order and resumption (FACTS 3, G2, G3)', () => {
  it('two overlapping transactions come whole, in the order of their commits', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const stream = await source.open();
    await withClient(source.url, async (first) => {
      await first.query('BEGIN; INSERT INTO t VALUES (1)');
      await withClient(source.url, async (second) => {
        await second.query('BEGIN; INSERT INTO t VALUES (2)');
        await first.query('INSERT INTO t VALUES (3)');
        await second.query('INSERT INTO t VALUES (4); COMMIT');
      });
      await first.query('COMMIT');
    });
    await waitFor(() => stream.commits.length === 2, { what: 'two commits' });
    expect(stream.inserted).toEqual(['2', '4', '1', '3']);
    const kinds = stream.messages.filter((each) => each.kind === 'begin' || each.kind === 'commit');
    expect(kinds.map((each) => each.kind)).toEqual(['begin', 'commit', 'begin', 'commit']);
    const [a, b] = stream.commits as [Commit, Commit];
    expect(b.commitLsn >= a.endLsn).toBe(true);
  });

  it('a slot resumed at a confirmed end loses and repeats nothing, also where the next commit starts just there', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    let next = 1;
    let touching = 0;
    for (let round = 0; round < 30 && touching < 2; round++) {
      const stream = await source.open();
      const ids = [next, next + 1, next + 2];
      next += 3;
      await commitTogether(source.url, ids);
      await waitFor(() => stream.commits.length === 3, { what: 'three commits' });
      expect(stream.inserted.map(Number).sort((a, b) => a - b)).toEqual(ids);
      const [first, second] = stream.commits as [Commit, Commit];
      if (second.commitLsn === first.endLsn) touching += 1;
      const rest = stream.inserted.slice(1);
      stream.session.confirm(first.endLsn);
      await waitFor(async () => (await slotOf(source))?.confirmedFlushLsn === first.endLsn, {
        what: 'the confirmation',
      });
      await source.close(stream);

      const resumed = await source.open({ startLsn: first.endLsn });
      await waitFor(() => resumed.commits.length === 2, { what: 'the two commits that are left' });
      expect(resumed.inserted).toEqual(rest);
      const last = resumed.commits[1] as Commit;
      resumed.session.confirm(last.endLsn);
      await waitFor(async () => (await slotOf(source))?.confirmedFlushLsn === last.endLsn, {
        what: 'the confirmation',
      });
      await source.close(resumed);
    }
    expect(touching).toBe(2);
  });

  it('a slot resumed below what it has confirmed goes on from there; unconfirmed changes repeat', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const stream = await source.open();
    for (const id of [1, 2, 3]) await source.sql(`INSERT INTO t VALUES (${id})`);
    await waitFor(() => stream.commits.length === 3, { what: 'three commits' });
    stream.session.confirm((stream.commits[0] as Commit).endLsn);
    // A lower position takes nothing back.
    stream.session.confirm(1n);
    await waitFor(async () => (await slotOf(source))?.confirmedFlushLsn === stream.commits[0]?.endLsn, {
      what: 'the confirmation',
    });
    await source.close(stream);
    const resumed = await source.open({ startLsn: 1n });
    await waitFor(() => resumed.commits.length === 2, { what: 'what was not confirmed' });
    expect(resumed.inserted).toEqual(['2', '3']);
  });

  it('nothing is confirmed on its own, whatever is received (G2)', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const before = (await slotOf(source))?.confirmedFlushLsn as bigint;
    const stream = await source.open({ statusIntervalMs: 20, startLsn: before });
    await source.sql('INSERT INTO t VALUES (1)');
    await waitFor(() => stream.commits.length === 1, { what: 'the commit' });
    // Until the server has read several statuses, each of which tells the position received.
    await waitFor(
      async () => {
        const [row] = await source.sql(
          'SELECT write_lsn::text <> flush_lsn::text AS apart FROM pg_stat_replication JOIN pg_replication_slots s ON s.active_pid = pid WHERE slot_name = $1',
          [source.slot],
        );
        return row?.apart;
      },
      { what: 'a status with the received position' },
    );
    expect((await slotOf(source))?.confirmedFlushLsn).toBe(before);
  });
});

describe('sessions', () => {
  it('refuse a slot that is in use, missing, or of no database, with the SQLSTATE of the server', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    await source.open();
    const failure = async (options: Partial<SessionOptions>) =>
      sqlstateOf(await source.open(options).catch((error: unknown) => error));
    expect(await failure({})).toBe('55006');
    expect(await failure({ slot: 'no_such_slot' })).toBe('42704');
    expect(await failure({ connection: { connectionString: `${source.url}_gone` } })).toBe('3D000');
  });

  it('end with the reason when the server ends them', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const stream = await source.open();
    await source.sql('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [
      source.slot,
    ]);
    expect(sqlstateOf(await stream.session.ended.catch((error: unknown) => error))).toBe('57P01');
  });

  it('end with what their owner throws, and resolve after close', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const session = await openReplicationSession({
      connection: { connectionString: source.url },
      slot: source.slot,
      publication: 'the "Pub"',
      startLsn: 0n,
      statusIntervalMs: 60_000,
      serverVersion: 180_000,
      handler: {
        message: () => {
          throw new RangeError('full');
        },
        keepalive: () => undefined,
      },
    });
    await source.sql('INSERT INTO t VALUES (1)');
    await expect(session.ended).rejects.toThrow('full');
    await waitFor(async () => !(await slotOf(source))?.active, { what: 'the slot is free' });
    const stream = await source.open();
    await stream.session.close();
    await stream.session.ended;
    await waitFor(async () => !(await slotOf(source))?.active, { what: 'the slot is free' });
    await withClient(source.url, (client) => dropSlot(client, source.slot));
    expect(await slotOf(source)).toBeNull();
  });

  it('are not fed while paused, and are fed all of it afterwards (G4)', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY, a text)');
    await using proxy = await TcpProxy.start(source.url);
    const stream = await source.open({ connection: { connectionString: proxy.url(source.url) } });
    stream.session.pause();
    await source.sql("INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 30000) i");
    // The server is done with what the sockets' buffers hold, and waits.
    await waitFor(
      async () => {
        const [row] = await source.sql(
          `SELECT (SELECT wait_event FROM pg_stat_activity WHERE pid = active_pid) AS waits FROM pg_replication_slots WHERE slot_name = $1`,
          [source.slot],
        );
        return row?.waits === 'WalSenderWriteData';
      },
      { what: 'the walsender waits for us', timeoutMs: 50_000 },
    );
    expect(stream.bytes).toBeLessThan(1 << 20);
    stream.session.resume();
    await waitFor(() => stream.commits.length === 1, { what: 'the commit' });
    expect(stream.inserted).toHaveLength(30_000);
  });

  it('leave small pieces together while nobody can use them, and lose and reorder nothing', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    let asked = 0;
    let gathers = true;
    const stream = await source.open({
      gathers: () => {
        asked += 1;
        return gathers;
      },
    });
    const ids = () => stream.messages.flatMap((each) => (each.kind === 'insert' ? [Number(each.row[0])] : []));
    for (let id = 1; id <= 200; id++) {
      await source.sql(`INSERT INTO t VALUES (${id})`);
      // Paused and resumed by others meanwhile, or asked to read on: all of them may meet.
      if (id % 40 === 0) stream.session.pause();
      if (id % 40 === 5) stream.session.resume();
      if (id % 7 === 0) stream.session.readOn();
    }
    stream.session.resume();
    await waitFor(() => stream.commits.length === 200, { what: 'all of them' });
    expect(ids()).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
    expect(asked).toBeGreaterThan(0);
    // Told to read on while paused, it does not.
    stream.session.pause();
    stream.session.readOn();
    gathers = false;
    await source.sql('INSERT INTO t VALUES (201)');
    await source.sql("SELECT pg_logical_emit_message(false, 'x', '')");
    expect(stream.commits).toHaveLength(200);
    stream.session.resume();
    await waitFor(() => stream.commits.length === 201, { what: 'the last' });
  });

  it('answer keepalives that ask for it, and give the position of the source', async () => {
    await using source = await Source.create('CREATE TABLE t (id int PRIMARY KEY)');
    const database = new URL(source.url).pathname.slice(1);
    await source.sql(`ALTER DATABASE "${database}" SET wal_sender_timeout = '200ms'`);
    // No status of its own for a minute: only the answers keep the session.
    const stream = await source.open({ statusIntervalMs: 60_000 });
    const replies = new Set<unknown>();
    await waitFor(
      async () => {
        const rows = await source.sql(
          'SELECT reply_time::text AS at FROM pg_stat_replication JOIN pg_replication_slots s ON s.active_pid = pid WHERE slot_name = $1',
          [source.slot],
        );
        return replies.add(rows[0]?.at).size > 4;
      },
      { what: 'answers beyond the timeout' },
    );
    const { currentLsn } = await withClient(source.url, readSourceState);
    await source.sql('INSERT INTO t VALUES (1)');
    await waitFor(() => stream.keepalives.some((lsn) => lsn > currentLsn), { what: 'a keepalive behind the insert' });
    expect(stream.inserted).toEqual(['1']);
  });
});

describe('publication and slot', () => {
  it('are created and completed; partitioned tables go through their root', async () => {
    await using pair = await createDatabasePair('publish');
    const { url } = pair.primary;
    await query(
      url,
      'CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE "B ""x" (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE p PARTITION OF "B ""x" FOR VALUES FROM (0) TO (9)',
    );
    const a = { schema: 'public', name: 'a' };
    const b = { schema: 'public', name: 'B "x' };
    const slot = `s_${pair.primary.name}`;
    await withClient(url, async (client) => {
      expect(await ensurePublication(client, 'P "1', [a])).toEqual([a]);
      expect(await ensurePublication(client, 'P "1', [a, b])).toEqual([b]);
      expect(await ensurePublication(client, 'P "1', [a, b])).toEqual([]);
      const consistent = await createSlot(client, slot);
      const info = await readSlot(client, slot);
      expect(info).toMatchObject({
        plugin: 'pgoutput',
        database: pair.primary.name,
        active: false,
        walStatus: 'reserved',
      });
      expect(info?.confirmedFlushLsn).toBe(consistent);
      const { rows } = await client.query('SELECT system_identifier::text AS id FROM pg_control_system()');
      const state = await readSourceState(client);
      expect(state).toMatchObject({ systemId: rows[0].id, serverVersion: expect.any(Number) });
      expect(state.currentLsn >= consistent).toBe(true);
    });
    const stream = await Stream.open({
      connection: { connectionString: url },
      slot,
      publication: 'P "1',
      startLsn: 0n,
      statusIntervalMs: 60_000,
      serverVersion: 180_000,
    });
    await query(url, 'INSERT INTO "B ""x" VALUES (1)');
    await waitFor(() => stream.commits.length === 1, { what: 'the commit' });
    expect(stream.messages.find((each) => each.kind === 'insert')?.relation.name).toBe('B "x');
    await stream.session.close();
  });
});

async function slotOf(source: Source) {
  return withClient(source.url, (client) => readSlot(client, source.slot));
}

/** Commits that are sent at the same time, so that their records often touch one another in the WAL. */
async function commitTogether(url: string, ids: readonly number[]): Promise<void> {
  const clients = await Promise.all(
    ids.map(async (id) => {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.query(`BEGIN; INSERT INTO t VALUES (${id})`);
      return client;
    }),
  );
  await Promise.all(clients.map((client) => client.query('COMMIT')));
  await Promise.all(clients.map((client) => client.end()));
}
