/** Which rows fill the memory: what V8 is told by (see cli/marking). */
import { expect, it } from 'vitest';
import type { RowsKind } from '../../src/core/status.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { streamingPair } from './support/stream.js';

const insert = (from: number, to: number) =>
  `INSERT INTO many SELECT g, 'v' || g FROM generate_series(${from}, ${to}) g`;

describeDialects('the streamer says which rows it has', (dialect) => {
  it('other ones while it loads; bytes that are copied while it streams, where the secondary takes them', async () => {
    const told: RowsKind[] = [];
    const options = { dialect, onRows: (kind: RowsKind) => told.push(kind) };
    const ddl = `CREATE TABLE many (id int8 PRIMARY KEY, v text); ${insert(1, 5000)}`;
    await using pair = await streamingPair(ddl, options);
    const loaded = () =>
      waitFor(() => pair.stream.streamer.registry.all().every(({ state }) => state === 'streaming'), {
        what: 'the table is loaded',
      });
    await loaded();
    // By the watermarks of its chunks.
    expect(new Set(told)).toEqual(new Set(['others']));
    // A table counts as being loaded until the last look at it is over.
    await waitFor(() => !pair.stream.streamer.session?.loading, { what: 'nothing is loaded any more' });
    told.length = 0;
    await pair.primary(insert(5001, 6000));
    await pair.stream.caughtUp();
    expect(new Set(told)).toEqual(new Set([dialect === 'postgres' ? 'copied-bytes' : 'others']));
    told.length = 0;
    await pair.stream.streamer.resync(null);
    await loaded();
    expect(new Set(told)).toEqual(new Set(['others']));
  }, 120_000);
});
