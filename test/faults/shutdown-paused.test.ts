/**
 * A primary shuts down in an orderly way while its stream is not read, because the secondary stands still: its walsender
 * waits for a reader whose socket is full, and nothing that it asks is heard.
 */
import { expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { openReplicationSession } from '../../src/source/replication-session.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { connectionOf } from '../integration/catchup-support.js';

it('G10 a primary shuts down while its stream is paused', async () => {
  // Nothing but the reader may end the walsender.
  await using server = await EmbeddedServer.start({
    name: 'closing',
    settings: { fsync: 'off', wal_level: 'logical', wal_sender_timeout: '0' },
  });
  const url = await server.createDatabase('closing');
  await query(url, 'CREATE TABLE t (id int, v text); CREATE PUBLICATION p FOR TABLE t');
  const [slot] = await query<{ lsn: string }>(
    url,
    `SELECT lsn::text FROM pg_create_logical_replication_slot('s', 'pgoutput')`,
  );
  expect(slot?.lsn).toBeDefined();
  let messages = 0;
  const session = await openReplicationSession({
    connection: connectionOf(url),
    slot: 's',
    publication: 'p',
    startLsn: 0n,
    statusIntervalMs: 100,
    serverVersion: 180_000,
    handler: {
      message: () => {
        messages += 1;
      },
      keepalive: () => undefined,
    },
  });
  try {
    await query(url, `INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 100) i`);
    await waitFor(() => messages >= 100, { what: 'the stream is read' });
    session.pause();
    await query(url, `INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i`);
    await server.stop('fast', 20_000);
    await expect(session.ended).rejects.toMatchObject({ code: '57P03' });
  } finally {
    await session.close();
  }
}, 60_000);
