/** A start that nothing answers ends by itself, and one that is told to stop leaves nothing behind. */
import type { ClientConfig } from 'pg';
import { describe, expect, it } from 'vitest';
import { clientConfig } from '../../src/config/client-config.js';
import { parseDatabaseUrl } from '../../src/config/database-url.js';
import { socketOf } from '../../src/core/socket-of.js';
import { openReplicationSession, type SessionOptions } from '../../src/source/replication-session.js';
import { createSlot } from '../../src/source/slot.js';
import { SourcePool } from '../../src/source/sql-pool.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { RunningStream, streamNames } from './support/stream.js';

const DDL = 'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE PUBLICATION p FOR TABLE t';
const CREATING = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_create_logical_replication_slot(%' AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()`;

const LONG = process.env.DB_TEST_LONG === '1';

const slots = (url: string) =>
  query(url, 'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()');

describe('the start of a replication session', () => {
  async function refusedStart(
    seen: RegExp,
    options: Partial<SessionOptions>,
    extra: ClientConfig = {},
  ): Promise<{ error: Error; ms: number }> {
    await using pair = await createDatabasePair('start');
    await query(pair.primary.url, DDL);
    const { slot } = streamNames(pair);
    await query(pair.primary.url, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
    await using proxy = await TcpProxy.start(pair.primary.url);
    proxy.onData = (direction, data) => {
      if (direction === 'toTarget' && seen.test(data.toString('latin1'))) proxy.swallow();
    };
    const started = performance.now();
    const connection = clientConfig(parseDatabaseUrl(proxy.url(pair.primary.url)), extra);
    const handler = { message: () => undefined, keepalive: () => undefined };
    const rest = { slot, publication: 'p', startLsn: 0n, statusIntervalMs: 1000, serverVersion: 180000, handler };
    const error = await openReplicationSession({ ...rest, connection, ...options }).then(
      () => new Error('It has started.'),
      (reason: Error) => reason,
    );
    return { error, ms: performance.now() - started };
  }

  it('is given up when START_REPLICATION is never answered', async () => {
    const { error } = await refusedStart(/START_REPLICATION/, { startMs: 500 });
    expect(error.message).toBe('Connection terminated: the primary has not begun to stream within 0.5 s');
  });

  it('is given up when not even the session can be set up', async () => {
    const { error } = await refusedStart(/SET DateStyle/, { startMs: 500 });
    expect(error.message).toMatch(/has not begun to stream within 0.5 s/);
  });

  it('is given up at once when it is told to stop', async () => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error('told to stop')), 300);
    const { error, ms } = await refusedStart(/START_REPLICATION/, { signal: abort.signal });
    expect(error.message).toBe('told to stop');
    expect(ms).toBeLessThan(10_000);
  });

  it('is given up when no connection comes about, after 10 seconds by default', { timeout: 60_000 }, async () => {
    const ms = LONG ? 10_000 : 1000;
    const refused = await refusedStart(/user/, {}, LONG ? {} : { connectionTimeoutMillis: ms });
    expect(refused.error.message).toMatch(/timeout expired|Connection terminated/);
    expect(refused.ms).toBeGreaterThan(0.9 * ms);
    expect(refused.ms).toBeLessThan(ms + 10_000);
  });
});

describeDialects('the creation of a slot', (dialect) => {
  it('that waits for an old transaction stops within 10 seconds, and no slot is left behind', async () => {
    await using pair = await createDatabasePair('start', dialect);
    await query(pair.primary.url, DDL);
    await withClient(pair.primary.url, async (old) => {
      await old.query('BEGIN; SELECT pg_current_xact_id()');
      await using stream = new RunningStream(pair);
      await waitFor(async () => (await query(pair.primary.url, CREATING)).length === 1, {
        what: 'the slot is being created',
      });
      expect(await slots(pair.primary.url)).toHaveLength(1);
      const started = performance.now();
      await stream.stop();
      expect(performance.now() - started).toBeLessThan(10_000);
      // Before the transaction ends, so that it was not for this that the server went on.
      await waitFor(async () => (await query(pair.primary.url, CREATING)).length === 0, {
        what: 'nobody waits',
        timeoutMs: 5000,
      });
      await waitFor(async () => (await slots(pair.primary.url)).length === 0, {
        what: 'there is no slot',
        timeoutMs: 5000,
      });
      await old.query('COMMIT');
    });
    expect(await slots(pair.primary.url)).toEqual([]);
    await using again = await new RunningStream(pair).streaming();
    await again.caughtUp();
  });

  it('that dies while it waits for an old transaction leaves no slot behind either', async () => {
    await using pair = await createDatabasePair('start', dialect);
    await withClient(pair.primary.url, async (old) => {
      await old.query('BEGIN; SELECT pg_current_xact_id()');
      const pool = new SourcePool({ connectionString: pair.primary.url }, 1);
      const dying = pool.use(async (client) => {
        const created = createSlot(client, streamNames(pair).slot);
        created.catch(() => undefined);
        await waitFor(async () => (await query(pair.primary.url, CREATING)).length === 1, {
          what: 'the slot is being created',
        });
        // As when the process is killed: the server hears no word.
        socketOf(client).resetAndDestroy();
        await created;
      });
      await expect(dying).rejects.toThrow();
      await waitFor(async () => (await slots(pair.primary.url)).length === 0, {
        what: 'the server has given the slot up',
      });
      await pool.close();
      await old.query('COMMIT');
    });
  });
});
