import { expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { bothSides, RunningStream } from './support/stream.js';

describeDialects('prepared transactions', (dialect) => {
  it('G1 appear when they are committed, and not at all when they are rolled back', async () => {
    await using server = await EmbeddedServer.start({ settings: { max_prepared_transactions: '5', fsync: 'off' } });
    await using shared = await createDatabasePair('prepared', dialect);
    const url = await server.createDatabase('prepared');
    const pair: DatabasePair = { ...shared, primary: { name: shared.primary.name, url } };
    await query(url, 'CREATE TABLE t (id int PRIMARY KEY, v text)');
    await using stream = await new RunningStream(pair).streaming();
    await query(url, `BEGIN; INSERT INTO t VALUES (1, 'prepared'); PREPARE TRANSACTION 'one'`);
    await query(url, `BEGIN; INSERT INTO t VALUES (2, 'never'); PREPARE TRANSACTION 'two'`);
    await query(url, `INSERT INTO t VALUES (3, 'between')`);
    await stream.caughtUp();
    expect((await bothSides(pair, 't')).secondary.map((row) => row.id)).toEqual(['3']);
    await query(url, `COMMIT PREPARED 'one'`);
    await query(url, `ROLLBACK PREPARED 'two'`);
    await stream.caughtUp();
    const { primary, secondary } = await bothSides(pair, 't');
    expect(secondary).toEqual(primary);
    expect(secondary).toHaveLength(2);
    await stream.stop();
  });
});
