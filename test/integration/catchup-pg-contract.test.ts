/**
 * The private parts of pg on which src/catchup/changefeed-query.ts and changefeed-connection.ts rely: an upgrade of pg
 * that changes one of them fails here, and not in a failback.
 */
import { Client, type Submittable } from 'pg';
import { describe, expect, it } from 'vitest';
import { ChangefeedQuery } from '../../src/catchup/changefeed-query.js';
import { RAW_TEXT_TYPES } from '../../src/core/raw-types.js';
import { getPrimary } from '../harness/cluster.js';
import { waitFor } from '../harness/wait.js';

async function connected(): Promise<Client> {
  const client = new Client({ connectionString: (await getPrimary()).url(), types: RAW_TEXT_TYPES });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

interface Wire {
  readonly connection: { readonly stream: { readonly destroyed: boolean; isPaused(): boolean; destroy(): void } };
}

const LIMITS = { highBytes: 64 << 10, lowBytes: 0 };
const big = (rows: number) =>
  `SELECT 't' AS "table", convert_to(i::text, 'UTF8') AS "key", convert_to(repeat('x', 1000), 'UTF8') AS value FROM generate_series(1, ${rows}) AS g(i)`;

describe('what a changefeed query relies on in pg', () => {
  it('calls the methods of a query, with the fields of a row as text', async () => {
    const client = await connected();
    const calls: string[] = [];
    const rows: (readonly (string | null)[])[] = [];
    const done = new Promise<void>((resolve) => {
      const submittable = {
        submit: (connection: { query(text: string): void }) => {
          calls.push('submit');
          connection.query(`SELECT 'a' AS one, '\\x00ff'::bytea AS two, NULL AS three`);
        },
        handleRowDescription: () => calls.push('handleRowDescription'),
        handleDataRow: (message: { fields: (string | null)[] }) => {
          calls.push('handleDataRow');
          rows.push([...message.fields]);
        },
        handleCommandComplete: () => calls.push('handleCommandComplete'),
        handleError: () => calls.push('handleError'),
        handleReadyForQuery: () => {
          calls.push('handleReadyForQuery');
          resolve();
        },
      };
      client.query(submittable as unknown as Submittable);
    });
    await done;
    expect(calls).toEqual([
      'submit',
      'handleRowDescription',
      'handleDataRow',
      'handleCommandComplete',
      'handleReadyForQuery',
    ]);
    expect(rows).toEqual([['a', '\\x00ff', null]]);
    await client.end();
  });

  it('hands the error of the server over, and then serves the next query', async () => {
    const client = await connected();
    const query = new ChangefeedQuery('SELECT 1 / 0', LIMITS);
    client.query(query);
    await expect(query.take()).rejects.toMatchObject({ code: '22012' });
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: '1' }]);
    await client.end();
  });

  it('G4 pauses the socket while rows are not taken, and loses none', async () => {
    const client = await connected();
    const query = new ChangefeedQuery(big(50_000), LIMITS);
    client.query(query);
    const { stream } = (client as unknown as Wire).connection;
    await waitFor(() => query.paused, { what: 'the socket is paused' });
    expect(stream.isPaused()).toBe(true);
    // What was in the socket's buffer when it was paused still comes, and nothing more.
    const held = await settled(() => query.bufferedBytes);
    expect(held).toBeLessThan(1 << 20);
    let rows = 0;
    for (let messages = await query.take(); messages !== null; messages = await query.take()) rows += messages.length;
    expect(rows).toBe(50_000);
    expect(stream.isPaused()).toBe(false);
    await client.end();
  });

  it('tells a query that its connection was destroyed, after the rows that had come', async () => {
    const client = await connected();
    const query = new ChangefeedQuery(
      `${big(3)} UNION ALL SELECT 't', '', convert_to(pg_sleep(60)::text, 'UTF8')`,
      LIMITS,
    );
    client.query(query);
    const sleeping = query.take().catch((error: unknown) => error);
    (client as unknown as Wire).connection.stream.destroy();
    expect(await sleeping).toMatchObject({ message: expect.stringMatching(/^Connection terminated/) });
    await expect(query.take()).rejects.toThrow(/^Connection terminated/);
  });
});

/** The value once it has been the same for a while. */
async function settled(read: () => number): Promise<number> {
  let last = read();
  let same = 0;
  await waitFor(
    () => {
      const value = read();
      same = value === last ? same + 1 : 0;
      last = value;
      return same >= 8;
    },
    { what: 'nothing more comes' },
  );
  return last;
}
