/** A role that row security shows some of the rows only must not take them for all. */
import { expect, it } from 'vitest';
import { inspectPrimary } from '../../src/preflight/primary.js';
import { createDatabasePair } from '../harness/cluster.js';
import { createRole, found, wanted } from '../harness/preflight-fixture.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream } from './support/stream.js';

it('G9 a table of which row security hides rows is paused, before rows are left out or deleted; others go on', async () => {
  await using pair = await createDatabasePair('security');
  const { url } = pair.primary;
  await using role = await createRole(pair, 'primary', 'REPLICATION');
  await query(
    url,
    `GRANT CREATE ON DATABASE ${role.database} TO ${role.name};
     CREATE TABLE hidden (id int PRIMARY KEY); INSERT INTO hidden SELECT generate_series(1, 10);
     CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later SELECT generate_series(1, 10);
     CREATE TABLE open (id int PRIMARY KEY); INSERT INTO open SELECT generate_series(1, 10);
     ALTER TABLE hidden OWNER TO ${role.name}; ALTER TABLE later OWNER TO ${role.name}; ALTER TABLE open OWNER TO ${role.name};
     ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; ALTER TABLE hidden FORCE ROW LEVEL SECURITY;
     CREATE POLICY five ON hidden USING (id <= 5); CREATE POLICY five ON later USING (id <= 5)`,
  );
  const { results } = await inspectPrimary(wanted(role.url, 'hidden,later,open'));
  expect(found(results, 'primary-row-security')?.detail).toMatch(/may hide rows from role .* in public\.hidden$/);

  await using stream = new RunningStream(pair, { primaryUrl: role.url });
  const stateOf = (name: string) => stream.streamer.snapshot().tables.find((table) => table.name === name);
  await waitFor(() => stateOf('later')?.state === 'streaming' && stateOf('hidden')?.state === 'paused', {
    what: 'one streams and one is paused',
  });
  expect(stateOf('hidden')?.reason).toMatch(/row-level security/);

  await query(url, 'ALTER TABLE later ENABLE ROW LEVEL SECURITY; ALTER TABLE later FORCE ROW LEVEL SECURITY');
  await stream.streamer.resync({ schema: 'public', name: 'later' });
  await waitFor(() => stateOf('later')?.state === 'paused', { what: 'the other one is paused as well' });
  await query(url, 'INSERT INTO open VALUES (11)');
  await stream.caughtUp();
  for (const table of ['later', 'open']) {
    const { primary, secondary } = await bothSides(pair, table);
    expect(secondary).toEqual(primary);
  }
});
