/** The secondary's tables are changed behind the stream's back: what was dropped there is never filled with nothing. */
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { bothSides, RunningStream, streamingPair } from './support/stream.js';

const DDL = `
CREATE TABLE narrowed (id int PRIMARY KEY, v text, w text); INSERT INTO narrowed SELECT i, 'v' || i, 'w' FROM generate_series(1, 50) i;
CREATE TABLE widened (id int PRIMARY KEY, v text, w text); INSERT INTO widened SELECT i, 'v' || i, 'w' FROM generate_series(1, 50) i;
CREATE TABLE gone (id int PRIMARY KEY, v text); INSERT INTO gone SELECT i, 'v' || i FROM generate_series(1, 50) i;
CREATE TABLE other (id int PRIMARY KEY, v text);
`;

type Pair = Awaited<ReturnType<typeof streamingPair>>;

async function expectSame({ pair }: Pair, stream: RunningStream, ...tables: string[]): Promise<void> {
  for (const name of tables) {
    const same = async () => {
      expect(stream.streamer.snapshot().tables.find((table) => table.name === name)).toMatchObject({
        state: 'streaming',
      });
      const { primary, secondary } = await bothSides(pair, name);
      expect(secondary).toEqual(primary);
      return true;
    };
    await waitFor(same, { what: `${name} is the same on both sides`, timeoutMs: 30_000 });
  }
}

describeDialects('a table that was changed on the secondary', (dialect) => {
  it('G9 is paused when it lacks columns, or is gone, while others go on; db:sync brings it back by value', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    const { stream } = it_;
    const stateOf = (name: string) => stream.streamer.snapshot().tables.find((table) => table.name === name);
    await it_.primary(
      `UPDATE narrowed SET w = 'seen' WHERE id = 1; UPDATE gone SET v = 'seen' WHERE id = 1; UPDATE widened SET w = 'seen' WHERE id = 1`,
    );
    await stream.caughtUp();
    await it_.secondary('ALTER TABLE narrowed DROP COLUMN v');
    await it_.secondary('ALTER TABLE widened DROP COLUMN v');
    await it_.secondary('DROP TABLE gone');
    await it_.primary(
      `BEGIN; UPDATE narrowed SET w = 'while it lacks v' WHERE id < 5; UPDATE gone SET v = 'while it is gone' WHERE id < 5; INSERT INTO other VALUES (1, 'same transaction'); COMMIT`,
    );
    await it_.primary(
      `ALTER TABLE widened ADD COLUMN x int; UPDATE widened SET x = 1 WHERE id < 5; INSERT INTO other VALUES (2, 'goes on')`,
    );
    await stream.caughtUp(60_000);
    await expectSame(it_, stream, 'other');
    const lacking = /^column v was dropped on the secondary, though the primary has it$/;
    expect(stateOf('narrowed')).toMatchObject({ state: 'paused', reason: expect.stringMatching(lacking) });
    expect(stateOf('widened')).toMatchObject({ state: 'paused', reason: expect.stringMatching(lacking) });
    expect(stateOf('gone')).toMatchObject({ state: 'paused', reason: 'its table was dropped on the secondary' });
    expect(stream.streamer.snapshot()).toMatchObject({ status: 'streaming', dropped: 0 });
    for (const name of ['narrowed', 'widened', 'gone']) await stream.streamer.resync({ schema: 'public', name });
    await it_.primary(
      `UPDATE narrowed SET v = 'while it loads' WHERE id = 30; UPDATE gone SET v = 'while it loads' WHERE id = 30`,
    );
    await expectSame(it_, stream, 'narrowed', 'widened', 'gone');
  });

  it('G9 is loaded anew at the next start when that was done while no process ran', async () => {
    await using it_ = await streamingPair(DDL, { dialect });
    await it_.stream.caughtUp();
    await it_.stream.stop();
    await it_.secondary('ALTER TABLE narrowed DROP COLUMN v');
    await it_.secondary('DROP TABLE gone');
    await using again = await new RunningStream(it_.pair).streaming();
    await expectSame(it_, again, 'narrowed', 'gone', 'widened');
    expect(
      again.log.entries.filter((entry) => / dropped on the secondary: it is loaded anew$/.test(entry.message)),
    ).toHaveLength(2);
  });
});
