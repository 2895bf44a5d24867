/** What a change source needs of the cluster's settings: on a CockroachDB of its own, because settings are everybody's. */
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { RangefeedsOffError } from '../../src/catchup/catchup-errors.js';
import { cockroachPosition } from '../../src/catchup/cockroach-source.js';
import { detectCockroach, type StartedCockroach, startCockroach } from '../harness/cockroach.js';
import { query, withClient } from '../harness/sql.js';
import { Consumer, cockroachSource, connectionOf, publicTable } from './catchup-support.js';

/** A server that somebody else runs is not ours to reconfigure. */
const ours = inject('cockroach').available && inject('cockroach').source !== 'TEST_COCKROACH_URL';

describe.skipIf(!ours)('settings of a CockroachDB secondary', () => {
  let server: StartedCockroach;
  beforeAll(async () => {
    server = await startCockroach(await detectCockroach());
    await query(server.url, 'CREATE TABLE t (id int PRIMARY KEY, v text)');
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  it('names the statement that mends rangefeeds that are off, and works once it was run', async () => {
    await query(server.url, 'SET CLUSTER SETTING kv.rangefeed.enabled = false');
    const position = await cockroachPosition(connectionOf(server.url));
    await query(server.url, `INSERT INTO t VALUES (1, 'x')`);
    const failure = await (async () => {
      await using source = cockroachSource(server.url, [publicTable('t')], position);
      return await source.next().catch((error: unknown) => error);
    })();
    expect(failure).toBeInstanceOf(RangefeedsOffError);
    const statement = (failure as RangefeedsOffError).remedy?.replace('Run on the secondary: ', '') ?? '';
    await query(server.url, statement);
    await using source = cockroachSource(server.url, [publicTable('t')], position);
    const consumer = new Consumer(source);
    await consumer.caughtUp();
    expect(consumer.row('public.t', '1')?.after).toEqual({ id: '1', v: 'x' });
  });

  it('connects again when its session or its statement is cancelled', async () => {
    const position = await cockroachPosition(connectionOf(server.url));
    await using source = cockroachSource(server.url, [publicTable('t')], position);
    const consumer = new Consumer(source);
    const kills = [
      `CANCEL QUERIES (SELECT query_id FROM [SHOW CLUSTER QUERIES] WHERE query LIKE '%CHANGEFEED FOR%' AND query NOT LIKE '%SHOW%')`,
      `CANCEL SESSIONS (SELECT session_id FROM [SHOW CLUSTER SESSIONS] WHERE active_queries LIKE '%CHANGEFEED FOR%' AND active_queries NOT LIKE '%SHOW%')`,
    ];
    for (const [i, kill] of kills.entries()) {
      await consumer.caughtUp();
      await query(server.url, kill);
      await withClient(server.url, (client) => client.query('UPSERT INTO t VALUES ($1, $2)', [10 + i, 'after']));
      await consumer.caughtUp();
      expect(consumer.row('public.t', String(10 + i))?.after).toEqual({ id: String(10 + i), v: 'after' });
      expect(source.log.entries.filter((entry) => entry.level === 'warn')).toHaveLength(i + 1);
    }
  });
});
