/**
 * What replication-session.ts, target-session.ts and socket-of.ts take from pg and pg-logical-replication beyond their
 * documented interfaces. A failure here after an update of either says that those files must be read again.
 */

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';
import { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { describe, expect, it } from 'vitest';
import { StatementError, TargetSession } from '../../src/apply/target-session.js';
import { type BinaryDecoder, BUILT_IN_DECODERS } from '../../src/core/binary-values.js';
import type { Row } from '../../src/core/change.js';
import { classify, sqlstateOf } from '../../src/core/policy.js';
import { socketOf } from '../../src/core/socket-of.js';
import { type Chunk, type Key, readKeys, readLines, readRange } from '../../src/snapshot/chunk-reader.js';
import { keyRanges } from '../../src/snapshot/ranges.js';
import { WatermarkBoard } from '../../src/snapshot/watermarks.js';
import { takeCopyData } from '../../src/source/copy-frames.js';
import { copyOut } from '../../src/source/copy-out-query.js';
import { openReplicationSession } from '../../src/source/replication-session.js';
import { createSlot, readSlot } from '../../src/source/slot.js';
import { SourcePool } from '../../src/source/sql-pool.js';
import { standbyStatus, statusIntervalMs } from '../../src/source/standby-status.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

/** The private fields, as both files declare them. */
interface Wire {
  readonly stream: Socket;
  sendCopyFromChunk(chunk: Buffer): void;
  on(event: string, listener: (message: { chunk: Buffer }) => void): void;
  listenerCount(event: string): number;
  removeAllListeners(event: string): void;
}

const require = createRequire(import.meta.url);

describe('versions', () => {
  it.each([
    ['pg', '8.23.1'],
    ['pg-logical-replication', '2.5.0'],
  ])('%s is pinned at exactly %s, and installed so', async (name, version) => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    // The application's own copy of pg is used (a peer dependency); the version that is tested is pinned beside it.
    expect((name === 'pg' ? manifest.devDependencies : manifest.dependencies)[name]).toBe(version);
    expect(require(`${name}/package.json`).version).toBe(version);
    const lock = JSON.parse(await readFile(new URL('../../package-lock.json', import.meta.url), 'utf8'));
    const installed = Object.keys(lock.packages).filter((path) => path.endsWith(`node_modules/${name}`));
    // One copy: a second one would have a Client of its own.
    expect(installed).toEqual([`node_modules/${name}`]);
  });
});

/** A walsender's connection through the service, with nothing of ours but the plugin. */
async function startService(url: string, slot: string) {
  const service = new LogicalReplicationService(
    { connectionString: url },
    { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
  );
  service.on('error', () => undefined);
  let wire: Wire | undefined;
  let theirs = 0;
  const chunks: Buffer[] = [];
  const plugin = {
    options: {},
    name: 'pgoutput',
    parse: () => undefined,
    async start(client: { query(sql: string): Promise<unknown>; connection: Wire }, name: string, lsn: string) {
      wire = client.connection;
      theirs = wire.listenerCount('copyData');
      wire.removeAllListeners('copyData');
      wire.on('copyData', ({ chunk }) => void chunks.push(Buffer.from(chunk)));
      return client.query(
        `START_REPLICATION SLOT "${name}" LOGICAL ${lsn} (proto_version '1', publication_names 'p', messages 'true')`,
      );
    },
  };
  const started = new Promise((resolve) => service.once('start', resolve));
  const ended = service.subscribe(plugin as never, slot, '0/0');
  ended.catch(() => undefined);
  await Promise.race([started, ended]);
  return { service, wire: wire as Wire, listeners: theirs, chunks, ended };
}

async function publishedDatabase() {
  const pair = await createDatabasePair('contract');
  const { url, name } = pair.primary;
  await query(url, 'CREATE TABLE t (id int PRIMARY KEY, a text); CREATE PUBLICATION p FOR TABLE t');
  const slot = `slot_${name}`;
  await withClient(url, (client) => createSlot(client, slot));
  return { pair, url, slot };
}

describe('the replication connection', () => {
  it("'start' of the service follows 'replicationStart', and copyData events carry { chunk }", async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    const { service, listeners, chunks, wire } = await startService(url, slot);
    // Both of theirs are taken off: one of pg's client, one of the service that would decode everything twice.
    expect(listeners).toBe(2);
    expect(wire.stream.writable).toBe(true);
    await query(url, 'INSERT INTO t VALUES (1)');
    await waitFor(() => chunks.some((chunk) => chunk[25] === 0x43), { what: 'a commit' });
    const insert = chunks.find((chunk) => chunk[0] === 0x77 && chunk[25] === 0x49) as Buffer;
    expect(insert.subarray(25, 26).toString()).toBe('I');
    expect(insert.readBigUInt64BE(1)).toBeGreaterThan(0n);
    await service.destroy();
  });

  it("is read by one listener of pg's, which may be fed in its place: data is taken from before it", async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    const { chunks, service, wire } = await startService(url, slot);
    expect(wire.stream.listenerCount('data')).toBe(1);
    const taken: Buffer[] = [];
    takeCopyData(wire.stream, (buffer, start, end) => void taken.push(Buffer.from(buffer.subarray(start, end))));
    await query(url, 'INSERT INTO t VALUES (1)');
    await waitFor(() => taken.some((each) => each[0] === 0x77 && each[25] === 0x43), { what: 'a commit' });
    expect(chunks.filter((chunk) => chunk[0] === 0x77)).toEqual([]);
    // Its end is a message that pg has to hear.
    await query(url, 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [slot]);
    await waitFor(() => !wire.stream.writable, { what: 'the end' });
    await service.destroy();
  });

  it('stream.pause() holds the server back, stream.resume() lets it go on', async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    const { service, wire, chunks } = await startService(url, slot);
    wire.stream.pause();
    expect(wire.stream.isPaused()).toBe(true);
    await query(url, "INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i");
    await waitFor(
      async () => {
        const [row] = await query(
          url,
          `SELECT (SELECT wait_event FROM pg_stat_activity WHERE pid = active_pid) AS waits FROM pg_replication_slots WHERE slot_name = $1`,
          [slot],
        );
        return row?.waits === 'WalSenderWriteData';
      },
      { what: 'the walsender waits' },
    );
    expect(chunks.length).toBeLessThan(1000);
    wire.stream.resume();
    await waitFor(() => chunks.filter((chunk) => chunk[25] === 0x49).length === 20_000, { what: 'all rows' });
    await service.destroy();
  });

  it('sendCopyFromChunk() reaches the walsender, also while reading is paused', async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    const { service, wire, chunks } = await startService(url, slot);
    await query(url, 'INSERT INTO t VALUES (1)');
    const commit = await waitFor(() => chunks.find((chunk) => chunk[25] === 0x43), { what: 'a commit' });
    const endLsn = commit.readBigUInt64BE(25 + 10);
    wire.stream.pause();
    wire.sendCopyFromChunk(standbyStatus(endLsn, endLsn, Date.now()));
    await waitFor(
      async () => (await withClient(url, (client) => readSlot(client, slot)))?.confirmedFlushLsn === endLsn,
      {
        what: 'the confirmation',
      },
    );
    const [sent] = await query<{ age: number }>(
      url,
      'SELECT abs(extract(epoch FROM now() - reply_time))::float8 AS age FROM pg_stat_replication JOIN pg_replication_slots s ON s.active_pid = pid WHERE slot_name = $1',
      [slot],
    );
    // The epoch of the packet's clock is that of PostgreSQL.
    expect(sent?.age).toBeLessThan(60);
    await service.destroy();
  });

  it('stream.destroy() ends the START_REPLICATION query with an error that the policy knows', async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    const { service, wire, ended } = await startService(url, slot);
    wire.stream.destroy();
    const error = await ended.catch((failure: unknown) => failure);
    expect(error).toMatchObject({ message: 'Connection terminated unexpectedly' });
    expect(classify(error).action).toBe('reread-checkpoint');
    expect(wire.stream.writable).toBe(false);
    // Neither throws nor hangs on what is dead.
    wire.sendCopyFromChunk(standbyStatus(1n, 1n, Date.now()));
    await service.destroy();
  });
});

describe('standby status', () => {
  it('has 34 bytes: written, flushed, applied, clock, reply', () => {
    const packet = standbyStatus(0x10n, 0x8n, Date.UTC(2000, 0, 1) + 5);
    expect(packet.toString('hex')).toBe(
      ['72', '0000000000000010', '0000000000000008', '0000000000000008', '0000000000001388', '00'].join(''),
    );
    expect(standbyStatus(1n, 9n, 0).readBigUInt64BE(1)).toBe(9n);
    expect(standbyStatus(1n, 1n, 0, true)[33]).toBe(1);
  });

  it.each([
    [0, 10_000],
    [60_000, 10_000],
    [29_999, 9999],
    [3000, 1000],
    [1, 100],
  ])('of a wal_sender_timeout of %d ms goes out every %d ms', (timeout, interval) => {
    expect(statusIntervalMs(timeout)).toBe(interval);
  });
});

const statement = (text: string, ...values: (string | null)[]) => ({ text, values });
const INSERT = 'INSERT INTO t VALUES ($1::int4, $2)';

async function targetDatabase() {
  const pair = await createDatabasePair('contract');
  await query(pair.secondary.url, 'CREATE TABLE t (id int PRIMARY KEY, a text)');
  const session = await TargetSession.connect({ connectionString: pair.secondary.url });
  const ids = async () =>
    (await query<{ id: number }>(pair.secondary.url, 'SELECT id FROM t ORDER BY id')).map(({ id }) => id);
  const dispose = async () => {
    await session.close();
    await pair[Symbol.asyncDispose]();
  };
  return { url: pair.secondary.url, session, ids, [Symbol.asyncDispose]: dispose };
}

describe('pipelining', () => {
  it('all statements are on their way before the first answer', async () => {
    await using target = await targetDatabase();
    await using proxy = await TcpProxy.start(target.url);
    const session = await TargetSession.connect({ connectionString: proxy.url(target.url) });
    let sent = '';
    proxy.onData = (direction, data) => {
      if (direction === 'toTarget') sent += data.toString('latin1');
    };
    proxy.stall('toClient');
    const rows = Array.from({ length: 20 }, (_, i) => statement(INSERT, String(i), `row ${i}.`));
    const done = session.pipeline([statement('BEGIN'), ...rows, statement('COMMIT')]);
    await waitFor(() => sent.includes('row 19.') && sent.includes('COMMIT'), { what: 'all statements are sent' });
    // Prepared once, by name, though the first answer is still out.
    expect(sent.split('INSERT INTO t').length - 1).toBe(1);
    proxy.resume();
    expect(await done).toEqual([0, ...rows.map(() => 1), 0]);
    await session.close();
  });

  it('an error inside BEGIN..COMMIT makes COMMIT a rollback, and names its statement', async () => {
    await using target = await targetDatabase();
    const { session, ids } = target;
    await query(target.url, "INSERT INTO t VALUES (1, 'there')");
    const failed = session.pipeline([
      statement('BEGIN'),
      statement(INSERT, '7', 'a'),
      statement(INSERT, '1', 'b'),
      statement('DELETE FROM t WHERE id = $1::int4', '1'),
      statement('COMMIT'),
    ]);
    const error = await failed.catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(StatementError);
    expect(error).toMatchObject({ index: 2, message: expect.stringContaining('duplicate key') });
    expect(sqlstateOf(error)).toBe('23505');
    expect(await ids()).toEqual([1]);
    expect(session.client.getTransactionStatus()).toBe('I');
    // Statements that were first sent into the aborted transaction are usable afterwards.
    expect(
      await session.pipeline([
        statement('BEGIN'),
        statement('DELETE FROM t WHERE id = $1::int4', '1'),
        statement(INSERT, '1', 'b'),
        statement('COMMIT'),
      ]),
    ).toEqual([0, 1, 1, 0]);
    expect(await ids()).toEqual([1]);
  });

  it('a statement that cannot be prepared, sent twice, does not spoil the connection', async () => {
    await using target = await targetDatabase();
    const { session, ids } = target;
    const wrong = statement('INSERT INTO nowhere VALUES ($1::int4)', '1');
    const pipeline = () =>
      session.pipeline([statement('BEGIN'), wrong, wrong, statement(INSERT, '1', null), statement('COMMIT')]);
    for (let attempt = 0; attempt < 2; attempt++)
      expect(sqlstateOf(await pipeline().catch((failure: unknown) => failure))).toBe('42P01');
    await query(target.url, 'CREATE TABLE nowhere (id int)');
    expect(await pipeline()).toEqual([0, 1, 1, 1, 0]);
    expect(await ids()).toEqual([1]);
  });

  it('a deferred constraint fails at COMMIT, which is the statement that is named', async () => {
    await using target = await targetDatabase();
    await query(target.url, 'CREATE TABLE u (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)');
    const twice = statement('INSERT INTO u VALUES ($1::int4)', '1');
    const error = await target.session
      .pipeline([statement('BEGIN'), twice, twice, statement('COMMIT')])
      .catch((failure: unknown) => failure);
    expect(error).toMatchObject({ index: 3 });
    expect(await query(target.url, 'SELECT * FROM u')).toEqual([]);
  });

  it('a transaction whose connection is cut before COMMIT leaves nothing; cut after it, everything (G3)', async () => {
    await using target = await targetDatabase();
    await using proxy = await TcpProxy.start(target.url);
    for (const [id, verdict] of [
      ['1', 'drop'],
      ['2', 'forward-then-cut'],
    ] as const) {
      const session = await TargetSession.connect({ connectionString: proxy.url(target.url) });
      await session.pipeline([statement('BEGIN'), statement(INSERT, id, '')]);
      proxy.onData = (direction, data) => {
        if (direction !== 'toTarget' || !data.includes('COMMIT')) return 'forward';
        if (verdict === 'drop') setImmediate(() => proxy.cut());
        return verdict;
      };
      const error = await session.pipeline([statement('COMMIT')]).catch((failure: unknown) => failure);
      proxy.onData = undefined;
      expect(classify(error).action).toBe('reread-checkpoint');
      expect(session.broken).toBeInstanceOf(Error);
      await expect(session.exec('SELECT 1')).rejects.toThrow();
    }
    await waitFor(async () => (await target.ids()).join() === '2', { what: 'the second transaction only' });
  });

  it('an ordinary client: destroying its socket rejects the statement that runs, and leaves nothing', async () => {
    await using pair = await createDatabasePair('contract');
    const client = new Client({ connectionString: pair.primary.url, application_name: 'db-redundancy contract' });
    client.on('error', () => undefined);
    await client.connect();
    const sleeping = client.query('SELECT pg_sleep(600)');
    const running = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'SELECT pg_sleep(600)'`;
    await waitFor(async () => (await query(pair.primary.url, running)).length === 1, { what: 'it runs' });
    socketOf(client).destroy();
    await expect(sleeping).rejects.toThrow('Connection terminated unexpectedly');
  });

  it('destroy() rolls back what is open, at once', async () => {
    await using target = await targetDatabase();
    await target.session.pipeline([statement('BEGIN'), statement(INSERT, '1', '')]);
    target.session.destroy();
    expect(target.session.broken).toBeInstanceOf(Error);
    await waitFor(
      async () => {
        const [row] = await query(
          target.url,
          "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'",
        );
        return row?.n === 0;
      },
      { what: 'the transaction is gone' },
    );
    expect(await target.ids()).toEqual([]);
  });

  it('a table that is retyped under a prepared statement can be read again on the same session', async () => {
    await using target = await targetDatabase();
    const read = () => target.session.run(statement('SELECT a FROM t WHERE id = $1::int4', '1'));
    await query(target.url, "INSERT INTO t VALUES (1, '5')");
    await read();
    await query(target.url, 'ALTER TABLE t ALTER a TYPE int8 USING a::int8');
    // The policy says of 0A000: "the statement is prepared anew". The first answer may be that error, not all of them.
    const answers = [await read().catch(sqlstateOf), await read().catch(sqlstateOf)];
    expect(answers[1]).toMatchObject({ rows: [{ a: '5' }] });
  });
});

/** Runs `work`; returns what would have ended the process meanwhile. */
async function uncaughtDuring(work: (seen: readonly unknown[]) => Promise<void>): Promise<unknown[]> {
  const uncaught: unknown[] = [];
  const theirs = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  try {
    await work(uncaught);
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of theirs) process.on('uncaughtException', listener);
  }
  return uncaught;
}

describe('a connection that dies at a bad moment does not end the process (FACTS 9, G10)', () => {
  it('while the secondary is asked for its version', async () => {
    await using target = await targetDatabase();
    await using proxy = await TcpProxy.start(target.url);
    proxy.onData = (direction, data) =>
      direction === 'toTarget' && data.includes('SELECT version()') ? 'cut' : 'forward';
    const uncaught = await uncaughtDuring(async () => {
      await expect(TargetSession.connect({ connectionString: proxy.url(target.url) })).rejects.toThrow();
    });
    expect(uncaught).toEqual([]);
  });

  it('while a borrowed connection of the primary waits for something else', async () => {
    await using pair = await createDatabasePair('contract');
    const { url } = pair.primary;
    const pool = new SourcePool({ connectionString: url }, 2);
    const uncaught = await uncaughtDuring(async (seen) => {
      // As a chunk does between its upper watermark and the apply loop's coming by.
      const used = pool.use(async (client) => {
        let ended = false;
        client.once('end', () => {
          ended = true;
        });
        const { rows } = await client.query<{ pid: string }>('SELECT pg_backend_pid()::text AS pid');
        await query(url, 'SELECT pg_terminate_backend($1::int)', [rows[0]?.pid]);
        await waitFor(() => ended || seen.length > 0, { what: 'the end of the connection' });
      });
      await used.catch(() => undefined);
    });
    await pool.close();
    expect(uncaught).toEqual([]);
  });

  it('while a replication session starts', async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    for (const moment of ['SET DateStyle', 'START_REPLICATION']) {
      await using proxy = await TcpProxy.start(url);
      proxy.onData = (direction, data) => (direction === 'toTarget' && data.includes(moment) ? 'cut' : 'forward');
      const uncaught = await uncaughtDuring(async () => {
        await expect(
          openReplicationSession({
            connection: { connectionString: proxy.url(url) },
            slot,
            publication: 'p',
            startLsn: 0n,
            statusIntervalMs: 60_000,
            serverVersion: 180_000,
            handler: { message: () => undefined, keepalive: () => undefined },
          }),
        ).rejects.toThrow();
      });
      expect(uncaught).toEqual([]);
    }
  });
});

describe('a primary that falls silent', () => {
  it('ends the replication session, though nothing says that the connection is gone', async () => {
    const { pair, url, slot } = await publishedDatabase();
    await using _ = pair;
    await using proxy = await TcpProxy.start(url);
    const heard: string[] = [];
    const session = await openReplicationSession({
      connection: { connectionString: proxy.url(url) },
      slot,
      publication: 'p',
      startLsn: 0n,
      statusIntervalMs: 25,
      silenceMs: 500,
      serverVersion: 180_000,
      handler: { message: () => undefined, keepalive: () => heard.push('keepalive') },
    });
    proxy.swallow();
    heard.length = 0;
    const silence = new Promise((resolve) => setTimeout(() => resolve('still taken for connected'), 5000));
    const outcome = await Promise.race([session.ended.catch(() => 'ended'), silence]);
    proxy.cut();
    await session.close();
    expect(heard).toEqual([]);
    expect(outcome).toBe('ended');
  });
});

describe('the watermark board', () => {
  it('refuses a round after its stream has ended, instead of waiting for ever', async () => {
    await using pair = await createDatabasePair('contract');
    await withClient(pair.primary.url, async (client) => {
      const board = new WatermarkBoard('s', 'n');
      board.close(new Error('The stream has ended'));
      const round = board.round(
        client,
        0,
        async () => null,
        async () => null,
      );
      const silence = new Promise((resolve) => setTimeout(() => resolve('waits'), 500));
      expect(await Promise.race([round.catch((error: Error) => error.message), silence])).toBe('The stream has ended');
    });
  });

  it('runs reader and apply loop in the order of the stream, and leaves nothing behind', async () => {
    await using pair = await createDatabasePair('contract');
    const { url, name } = pair.primary;
    await query(url, 'CREATE TABLE t (id int PRIMARY KEY, a text); CREATE PUBLICATION p FOR TABLE t');
    await withClient(url, (client) => createSlot(client, `slot_${name}`));
    const board = new WatermarkBoard('s', 'n');
    const order: string[] = [];
    let loop: Promise<void> = Promise.resolve();
    const session = await openReplicationSession({
      connection: { connectionString: url },
      slot: `slot_${name}`,
      publication: 'p',
      startLsn: 0n,
      statusIntervalMs: 60_000,
      serverVersion: 180_000,
      handler: {
        message: (message) => {
          if (message.kind === 'insert') order.push(`insert ${message.row[0]}`);
          if (message.kind !== 'message') return;
          const { lsn, content } = message;
          loop = loop.then(() => board.arrived({ kind: 'watermark', lsn, content, bytes: 0 })).catch(() => undefined);
        },
        keepalive: () => undefined,
      },
    });
    await withClient(url, async (client) => {
      // Somebody else's watermarks, and garbage, are passed over.
      for (const content of ['{"s":"other","id":"n-1","k":"high"}', '{', '[]', 'null', '{"s":"s","id":"x","k":"low"}'])
        await client.query("SELECT pg_logical_emit_message(false, 'db_redundancy.watermark', $1)", [content]);
      const result = await board.round(
        client,
        1,
        async () => {
          await query(url, 'INSERT INTO t VALUES (1)');
          return 'rows';
        },
        async (rows, window) => {
          order.push(`apply ${rows} ${window.tableOid}`);
          return 'done';
        },
      );
      expect(result).toBe('done');
      expect(order).toEqual(['insert 1', 'apply rows 1']);
      const failing = async () => {
        throw new RangeError('read');
      };
      await expect(board.round(client, 1, failing, async () => null)).rejects.toThrow('read');
      await expect(
        board.round(
          client,
          1,
          async () => null,
          async () => {
            throw new RangeError('apply');
          },
        ),
      ).rejects.toThrow('apply');
    });
    await session.close();
  });
});

describe('chunks', () => {
  const types = [25, 25, 23];
  const binaryForm = { types, decoders: types.map((oid) => BUILT_IN_DECODERS.get(oid) as BinaryDecoder) };
  const chunkTable = {
    oid: 1,
    schema: 'public',
    name: 't "1',
    columns: [
      { name: 'v', type: 'text' },
      { name: 'b', type: 'text' },
      { name: 'a', type: 'integer' },
    ],
    key: [
      { name: 'a', type: 'integer' },
      { name: 'b', type: 'text' },
    ],
  };

  async function source(sql: string) {
    const pair = await createDatabasePair('chunk');
    await query(pair.primary.url, sql);
    const pool = new SourcePool({ connectionString: pair.primary.url }, 1);
    const dispose = async () => {
      await pool.close();
      await pair[Symbol.asyncDispose]();
    };
    return { pool, [Symbol.asyncDispose]: dispose };
  }

  it('of a composite key follow one another without gap or overlap, and say what was running', async () => {
    await using reader = await source(
      `CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" SELECT i % 5, chr(65 + i / 5), NULLIF(i, 7) FROM generate_series(0, 24) i`,
    );
    const seen: Row[] = [];
    await reader.pool.use(async (client) => {
      let after: Key | null = null;
      for (let complete = false; !complete; ) {
        const chunk: Chunk = await readRange(client, chunkTable, after, ['3', 'C'], {
          rows: 4,
          bytes: 1 << 20,
          fetch: 3,
        });
        expect(chunk.rows.length).toBeLessThanOrEqual(4);
        expect(chunk.snapshot.running).toEqual([]);
        seen.push(...chunk.rows);
        const last = chunk.rows.at(-1);
        if (last) after = [last[2] as string, last[1] as string];
        complete = chunk.complete;
      }
      const keys = await readKeys(client, chunkTable, [
        ['4', 'E'],
        ['2', 'B'],
        ['9', 'A'],
      ]);
      expect([...keys.rows].sort()).toEqual(
        [
          ['24', 'E', '4'],
          [null, 'B', '2'],
        ].sort(),
      );
      expect(keys.complete).toBe(true);
    });
    const expected = ['0', '1', '2', '3', '4'].flatMap((a) => ['A', 'B', 'C', 'D', 'E'].map((b) => [a, b]));
    expect(seen.map(([, b, a]) => [a, b])).toEqual(expected.slice(0, 18));
  });

  it('are bounded in bytes where wide rows stand among narrow ones (G4)', async () => {
    await using reader = await source(
      `CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" SELECT i, '', repeat('x', 100000) FROM generate_series(1, 400) i`,
    );
    await reader.pool.use(async (client) => {
      // What chunkLimits() gives for a table whose average row has 256 bytes.
      const { rows } = await readRange(client, chunkTable, null, null, { rows: 10_000, bytes: 4 << 20, fetch: 2000 });
      expect(rows.reduce((sum, row) => sum + (row[0]?.length ?? 0), 0)).toBeLessThan(3 * (4 << 20));
    });
  });

  it('as lines are the same rows, whatever their keys and values hold', async () => {
    const texts = [
      '',
      ' ',
      `it's`,
      '\\',
      '\\N',
      '\\.',
      'a\tb',
      'line\nfeed',
      '\r',
      '\b\f\v',
      'ä',
      '\u{1f600}',
      `$1 '; --`,
      '"',
      '{}',
    ];
    await using reader = await source('CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b))');
    await reader.pool.use(async (client) => {
      for (const [i, text] of texts.entries())
        await client.query('INSERT INTO "t ""1" VALUES (1, $1, $2), (2, $1, $3)', [text, texts.at(-1 - i), null]);
      for (const size of [1, 4, 100]) {
        const [asRows, asLines, inBinary]: [Row[], Row[], Row[]] = [[], [], []];
        const binaryTable = { ...chunkTable, binary: binaryForm };
        const limits = { rows: size, bytes: 1 << 20, fetch: 3 };
        for (const [found, read, table] of [
          [asRows, readRange, chunkTable],
          [asLines, readLines, chunkTable],
          [inBinary, readLines, binaryTable],
        ] as const) {
          let chunk: Chunk;
          let after: Key | null = null;
          do {
            chunk = await read(client, table, after, null, limits);
            for (const line of chunk.lines ?? []) expect(line.binary).toBe(table === binaryTable);
            const rows = [...chunk.rows, ...(chunk.lines ?? []).map((line) => line.row)];
            expect(rows.length).toBeLessThanOrEqual(size);
            found.push(...rows);
            const last = rows.at(-1);
            if (last) after = [last[2] as string, last[1] as string];
          } while (!chunk.complete);
        }
        expect(asRows).toHaveLength(2 * texts.length);
        expect(asLines).toEqual(asRows);
        expect(inBinary).toEqual(asRows);
      }
    });
  });

  it('end with what their listener throws, and leave the connection in order', async () => {
    await using reader = await source('CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b))');
    await reader.pool.use(async (client) => {
      let heard = 0;
      const copied = copyOut(client, 'COPY (SELECT generate_series(1, 1000)) TO STDOUT', () => {
        heard += 1;
        if (heard === 2) throw new RangeError('not so');
      });
      await expect(copied).rejects.toThrow('not so');
      expect(heard).toBe(2);
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: '1' }]);
    });
  });

  it('as lines come as text where a column has another type than before (G9)', async () => {
    await using reader = await source(
      `CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" VALUES (1, 'b', '7')`,
    );
    await reader.pool.use(async (client) => {
      const read = async () =>
        (await readLines(client, { ...chunkTable, binary: binaryForm }, null, null, { rows: 9, bytes: 1 << 20 })).lines;
      expect((await read())?.map(({ binary, row }) => [binary, ...row])).toEqual([[true, '7', 'b', '1']]);
      await client.query('ALTER TABLE "t ""1" ALTER a TYPE float4');
      expect((await read())?.map(({ binary, row }) => [binary, ...row])).toEqual([[false, '7', 'b', '1']]);
    });
  });

  it('as lines keep no more than their bytes, and say that there is more (G4)', async () => {
    await using reader = await source(
      `CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" SELECT i, '', repeat('x', 10000) FROM generate_series(1, 100) i`,
    );
    await reader.pool.use(async (client) => {
      const limits = { rows: 100, bytes: 95_000 };
      const first = await readLines(client, chunkTable, null, null, limits);
      expect([first.lines?.length, first.complete]).toEqual([10, false]);
      const rest = await readLines(client, chunkTable, ['92', ''], null, limits);
      expect([rest.lines?.length, rest.complete]).toEqual([8, true]);
    });
  });

  it('as lines end with the error that the server gives, and the connection goes on', async () => {
    await using reader = await source('CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b))');
    await reader.pool.use(async (client) => {
      const missing = { ...chunkTable, columns: [{ name: 'nothing', type: 'text' }] };
      await expect(readLines(client, missing, null, null, { rows: 1, bytes: 1 })).rejects.toMatchObject({
        code: '42703',
      });
      await client.query('ROLLBACK');
      expect((await readLines(client, chunkTable, null, null, { rows: 1, bytes: 1 })).lines).toEqual([]);
    });
  });

  it('by keys say which of them are gone, as the primary prints them, whatever form they were asked for in', async () => {
    const key = [
      { name: 'a', type: 'numeric' },
      { name: 'b', type: 'character(3)' },
    ];
    await using reader = await source(
      `CREATE TABLE "t ""1" (a numeric, b char(3), v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" VALUES (0.0000001, 'x', 'v'), (1.50, 'y', NULL)`,
    );
    const asked: Key[] = [
      ['1E-7', 'x'],
      ['2E-7', 'x'],
      ['1.5', 'y  '],
      ['1.5', 'x'],
    ];
    const { gone, rows } = await reader.pool.use((client) => readKeys(client, { ...chunkTable, key }, asked));
    expect([...rows].sort()).toEqual([
      [null, 'y  ', '1.50'],
      ['v', 'x  ', '0.0000001'],
    ]);
    expect(gone).toEqual([
      { asked: ['2E-7', 'x'], own: ['0.0000002', 'x  '] },
      { asked: ['1.5', 'x'], own: ['1.5', 'x  '] },
    ]);
    const nothing = await reader.pool.use((client) => readKeys(client, { ...chunkTable, key }, []));
    expect(nothing).toMatchObject({ rows: [], gone: [], complete: true });
  });

  it('are cut into ranges by samples of the key', async () => {
    await using reader = await source(
      `CREATE TABLE "t ""1" (a int, b text, v text, PRIMARY KEY (a, b)); INSERT INTO "t ""1" SELECT i, '', '' FROM generate_series(1, 5000) i`,
    );
    await reader.pool.use(async (client) => {
      const bounds = await keyRanges(client, chunkTable, 5000, 1000, 4);
      // What is appended later is in the stream: a load without an end might never come to it.
      expect(bounds.at(-1)).toEqual(['5000', '']);
      const numbers = bounds.slice(0, -1).map((key) => Number(key?.[0]));
      expect(numbers).toHaveLength(3);
      expect(numbers).toEqual([...numbers].sort((x, y) => x - y));
      expect(await keyRanges(client, chunkTable, null, 1000, 4)).toEqual([['5000', '']]);
      expect(await keyRanges(client, chunkTable, 1500, 1000, 4)).toEqual([['5000', '']]);
      // So many rows that the share to sample has no digit before the eighth place: no error, and one range at the least.
      expect((await keyRanges(client, chunkTable, 1e15, 1000, 4)).at(-1)).toEqual(['5000', '']);
      await client.query('TRUNCATE "t ""1"');
      expect(await keyRanges(client, chunkTable, 5000, 1000, 4)).toEqual([null]);
    });
  });
});

describe('the source pool', () => {
  it('gives text under fixed settings, and does not use a session again after an error', async () => {
    await using pair = await createDatabasePair('contract');
    const { url, name } = pair.primary;
    await query(
      url,
      `ALTER DATABASE "${name}" SET TimeZone = 'Asia/Kolkata'; ALTER DATABASE "${name}" SET DateStyle = 'German'`,
    );
    const pool = new SourcePool({ connectionString: url }, 1);
    const read = () =>
      pool.use(async (client) => {
        const { rows } = await client.query(
          "SELECT 1 AS n, true AS b, '2026-01-24 20:00:00+00'::timestamptz AS t, NULL AS x, pg_backend_pid() AS pid",
        );
        return rows[0];
      });
    const first = await read();
    expect(first).toMatchObject({ n: '1', b: 't', t: '2026-01-24 20:00:00+00', x: null });
    expect((await read()).pid).toBe(first.pid);
    await expect(
      pool.use(async (client) => {
        await client.query('BEGIN');
        await client.query('SELECT 1 / 0');
      }),
    ).rejects.toThrow('division by zero');
    expect((await read()).pid).not.toBe(first.pid);
    await pool.close();
  });
});
