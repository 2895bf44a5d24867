/**
 * A generated column that is worked out by reading the primary's row, while the change of that row is in the WAL and not
 * yet visible to queries: the server of this test lets a commit wait for a standby that never comes.
 */
import { describe, expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { locateBinaries } from '../../src/demo/embedded-binaries.js';
import { createDatabasePair } from '../harness/cluster.js';
import { hasOldestPrimary, oldestPrimary } from '../harness/oldest-primary.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { RunningStream } from './support/stream.js';

const SETTINGS = { fsync: 'off', synchronous_commit: 'local', synchronous_standby_names: 'nobody' };

// Newer ones publish stored columns, and nothing is worked out.
describe.skipIf(!hasOldestPrimary)('a generated column that is filled', () => {
  it('G1 is never worked out from the row before its change', async () => {
    const binaries = await locateBinaries(await oldestPrimary());
    await using server = await EmbeddedServer.start({ name: 'waiting', settings: SETTINGS, binaries });
    const primaryUrl = server.url();
    await query(
      primaryUrl,
      `CREATE FUNCTION shout(t text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT upper(t) || '!' $$;
       CREATE TABLE filled (id int PRIMARY KEY, name text, big text, loud text GENERATED ALWAYS AS (shout(name || left(big, 1))) STORED);
       ALTER TABLE filled ALTER big SET STORAGE EXTERNAL;
       INSERT INTO filled SELECT i, 'n', repeat('x', 3000) FROM generate_series(1, 3) i`,
    );
    await using pair = await createDatabasePair('waiting');
    await using stream = await new RunningStream(pair, { primaryUrl }).streaming();
    await withClient(primaryUrl, async (waiting) => {
      const { rows } = await waiting.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const received = () => stream.streamer.counters.changesReceived;
      const before = received();
      const commit = waiting.query(
        `SET synchronous_commit = 'on'; BEGIN; UPDATE filled SET name = 'new' WHERE id = 1; UPDATE filled SET id = 20 WHERE id = 2; COMMIT`,
      );
      await waitFor(() => received() === before + 2, { what: 'the stream has the change' });
      expect(await query(primaryUrl, 'SELECT name FROM filled WHERE id = 1')).toEqual([{ name: 'n' }]);
      // It has no effect on a stream that waits; one that does not has the row of before by now.
      await query(primaryUrl, 'SELECT pg_sleep(0.3)');
      await query(primaryUrl, 'SELECT pg_cancel_backend($1)', [rows[0]?.pid]);
      await commit;
    });
    const all = 'SELECT id, name, loud FROM filled ORDER BY id';
    const wanted = await query(primaryUrl, all);
    expect(wanted).toContainEqual({ id: 1, name: 'new', loud: 'NEWX!' });
    const there = async () => (await query(pair.secondary.url, 'SELECT 1 FROM filled WHERE id = 20')).length > 0;
    await waitFor(there, { what: 'the change is there' });
    expect(await query(pair.secondary.url, all)).toEqual(wanted);
    await stream.stop();
  });
});
