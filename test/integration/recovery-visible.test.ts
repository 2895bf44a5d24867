/**
 * A change of an active PostgreSQL secondary is in its WAL, and so known to the recovery, before queries see it: the
 * server of this test lets a commit wait for a standby that never comes.
 */
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { createDatabasePair } from '../harness/cluster.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { copying, fenceOf, recoveryOf } from './support/recovery.js';
import { bothSides, RunningStream } from './support/stream.js';

const SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'local',
  synchronous_standby_names: 'nobody',
  wal_level: 'logical',
};
const DDL = `CREATE TABLE event (id int PRIMARY KEY); CREATE TABLE part (id int PRIMARY KEY, event int NOT NULL REFERENCES event);
  INSERT INTO event VALUES (1); INSERT INTO part VALUES (1, 1)`;
const never = new AbortController().signal;

it('G7 a row that cannot be read yet is not taken for one that is gone', async () => {
  await using base = await createDatabasePair('visible');
  await using server = await EmbeddedServer.start({ name: 'late', settings: SETTINGS });
  const secondaryUrl = await server.createDatabase('visible');
  const pair = { ...base, secondary: { ...base.secondary, url: secondaryUrl } };
  await query(pair.primary.url, DDL);
  {
    await using stream = await new RunningStream(pair, { secondaryUrl }).streaming();
    await stream.stop();
  }
  const recovery = recoveryOf(pair);
  try {
    await recovery.notePosition(2);
    recovery.follow();
    recovery.recoverPrimary(await fenceOf(pair));
    await copying(recovery);
    const known = async () => {
      const rows = await query(secondaryUrl, `SELECT 1 FROM db_redundancy.touched_keys WHERE row_key = '["3"]'`);
      return rows.length > 0;
    };
    await withClient(secondaryUrl, async (waiting) => {
      const { rows } = await waiting.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const commit = waiting.query(
        `SET synchronous_commit = 'on'; BEGIN; INSERT INTO event VALUES (2); INSERT INTO part VALUES (2, 2); DELETE FROM part WHERE id = 1; COMMIT`,
      );
      const sent = async () => {
        const found = await query(
          secondaryUrl,
          `SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'SyncRep'`,
          [rows[0]?.pid],
        );
        return found.length > 0;
      };
      await waitFor(sent, { what: 'the commit is in the WAL' });
      // Later in the WAL, and seen at once: were keys stored as they come, both would be stored soon.
      await query(secondaryUrl, 'INSERT INTO event VALUES (3)');
      await systemClock.sleep(500);
      expect(await query(secondaryUrl, 'SELECT id FROM part')).toEqual([{ id: 1 }]);
      expect(await known()).toBe(false);
      await query(secondaryUrl, 'SELECT pg_cancel_backend($1)', [rows[0]?.pid]);
      await commit;
    });
    await waitFor(known, { what: 'the journal has what can be read' });
    const { mended } = await recovery.drain(never);
    expect(mended).toBe(0);
    expect(recovery.progress().trouble).toBeNull();
  } finally {
    await recovery.stop();
  }
  for (const table of ['event', 'part']) {
    const { primary, secondary } = await bothSides(pair, table);
    expect(primary, table).toEqual(secondary);
    expect(primary).toHaveLength(table === 'event' ? 3 : 1);
  }
}, 60_000);
