/** SPEC section 4, "Schema drift", where the WAL says little: what a stream must neither miss nor stop at. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE other (id int PRIMARY KEY, v text); INSERT INTO other VALUES (0, 'first');
`;

describeDialects('hostile schema drift', (dialect) => {
  let it_: Awaited<ReturnType<typeof streamingPair>>;
  beforeAll(async () => {
    it_ = await streamingPair(DDL, { dialect });
  });
  afterAll(async () => {
    await it_?.[Symbol.asyncDispose]();
  });

  const stateOf = (name: string) => it_.stream.streamer.snapshot().tables.find((table) => table.name === name);

  /** In the end, not at once: some of this is noticed by looking at the primary every now and then. */
  async function expectSame(table: string): Promise<void> {
    await it_.stream.caughtUp();
    const same = async () => {
      expect(stateOf(table)).toMatchObject({ state: 'streaming' });
      const { primary, secondary } = await bothSides(it_.pair, table);
      expect(secondary).toEqual(primary);
      return true;
    };
    await waitFor(same, { what: `${table} is the same on both sides`, timeoutMs: 10_000 });
  }

  it('G9 passes by a table that was published, filled and dropped again before its changes came', async () => {
    await it_.primary(
      `CREATE TABLE moment (id int PRIMARY KEY); ALTER PUBLICATION db_redundancy ADD TABLE moment; INSERT INTO moment VALUES (1); DROP TABLE moment; INSERT INTO other VALUES (1, 'goes on')`,
    );
    await expectSame('other');
    expect(stateOf('moment')).toMatchObject({
      state: 'paused',
      reason: expect.stringMatching(/public\.moment does not exist on the primary/),
    });
  });
});
