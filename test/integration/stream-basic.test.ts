import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { bothSides, streamingPair } from './support/stream.js';

describeDialects('a stream', (dialect) => {
  it('loads what is there and streams what comes', async () => {
    await using it = await streamingPair(
      `
      CREATE TABLE a (id serial PRIMARY KEY, t text, n numeric(10,2), at timestamptz DEFAULT now());
      INSERT INTO a (t, n) SELECT 'row ' || i, i FROM generate_series(1, 25000) i;
      CREATE TABLE nokey (x int, y text); ALTER TABLE nokey REPLICA IDENTITY FULL;
      INSERT INTO nokey SELECT i % 3, NULL FROM generate_series(1, 10) i;`,
      { dialect },
    );
    await it.primary(`INSERT INTO a (t) VALUES ('new'); UPDATE a SET n = n + 1 WHERE id % 2 = 0; DELETE FROM a WHERE id % 10 = 1;
      DELETE FROM nokey WHERE ctid IN (SELECT ctid FROM nokey WHERE x = 1 LIMIT 1); INSERT INTO nokey VALUES (7, 'seven'), (7, 'seven'); UPDATE nokey SET y = 'z' WHERE x = 2`);
    await it.stream.caughtUp();
    for (const table of ['a', 'nokey']) {
      const { primary, secondary } = await bothSides(it.pair, table);
      expect(secondary).toEqual(primary);
    }
  });
});
