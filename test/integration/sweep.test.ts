/** The sweep over `updated_at` (SPEC section 6): what it sees it mends, and nothing else; a healthy system needs none. */
import { Client } from 'pg';
import { expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/core/clock.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { counts, EQUAL, verify } from './support/reconcile.js';
import { RunningStream } from './support/stream.js';

const DDL = `
CREATE TABLE plain (id int PRIMARY KEY, v text, updated_at timestamptz DEFAULT now());
CREATE TABLE local (tenant text, no int, v text, updated_at timestamp NOT NULL DEFAULT now(), PRIMARY KEY (tenant, no));
CREATE TABLE undated (id int PRIMARY KEY, v text);
INSERT INTO plain SELECT i, 'v', CASE WHEN i <= 1000 THEN '2020-01-01'::timestamptz ELSE now() END FROM generate_series(1, 2000) i;
INSERT INTO plain SELECT -i, 'undated', NULL FROM generate_series(1, 5) i;
INSERT INTO local SELECT 't' || i % 3, i, 'v', now() FROM generate_series(1, 300) i;
INSERT INTO undated SELECT i, 'v' FROM generate_series(1, 100) i;
`;

/** An interval that nothing else has: see `holdable`. */
const EVERY = { sweepIntervalMs: 207, verifyIntervalMs: 0 };

/** When it is aborted; never without one. */
const aborted = (signal?: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

/** A clock on which no further sweep begins while it is held. */
function holdable(): { readonly clock: Clock; hold(): Promise<() => void> } {
  let held: Promise<void> | null = null;
  let reached = () => {};
  const clock: Clock = {
    ...systemClock,
    async sleep(ms, signal) {
      await systemClock.sleep(ms, signal);
      if (ms !== EVERY.sweepIntervalMs || !held) return;
      reached();
      await Promise.race([held, aborted(signal)]);
    },
  };
  /** Resolves when no sweep is under way; its value lets them go on. */
  const hold = async () => {
    const waiting = new Promise<void>((resolve) => {
      reached = resolve;
    });
    let release = () => {};
    held = new Promise((resolve) => {
      release = () => {
        held = null;
        resolve();
      };
    });
    await waiting;
    return release;
  };
  return { clock, hold };
}

interface Sweeps {
  readonly stream: RunningStream;
  /** Waits for a sweep that begins after now; what it repaired, by table, since the stream began. */
  next(): Promise<Record<string, number>>;
}

async function sweeping(pair: DatabasePair): Promise<Sweeps> {
  const stream = await new RunningStream(pair, { reconcile: EVERY }).streaming();
  const next = async () => {
    const since = new Date().toISOString();
    await waitFor(() => (stream.streamer.snapshot().lastSync ?? '') > since, { what: 'a sweep has been done' });
    return Object.fromEntries(stream.streamer.snapshot().tables.map(({ drift, name }) => [name, drift ?? -1]));
  };
  return { stream, next };
}

describeDialects('sweep', (dialect) => {
  it('mends the planted differences that updated_at shows, and only those', async () => {
    await using pair = await createDatabasePair('sweep', dialect);
    await query(pair.primary.url, DDL);
    const { next, stream } = await sweeping(pair);
    await using _ = stream;
    expect(await next()).toEqual({ plain: 0, local: 0, undated: 0 });
    const plant = (sql: string) => query(pair.secondary.url, sql);
    // Seen: missing, older there, newer there, without a time there, and with a composite key.
    await plant(`DELETE FROM plain WHERE id IN (1500, 1501)`);
    await plant(`UPDATE plain SET v = 'stale', updated_at = '2019-01-01' WHERE id = 1600`);
    await plant(`UPDATE plain SET v = 'foreign', updated_at = now() + INTERVAL '1 hour' WHERE id = 1601`);
    await plant(`UPDATE plain SET updated_at = NULL WHERE id = 1602`);
    await plant(`DELETE FROM local WHERE tenant = 't1' AND no = 100`);
    // Not seen: a value without its time, an extra row, rows of long ago or without a time, a table without the column.
    await plant(`UPDATE plain SET v = 'unseen' WHERE id = 1700`);
    await plant(`INSERT INTO plain VALUES (5000, 'extra', now())`);
    await plant(`DELETE FROM plain WHERE id IN (10, -1)`);
    await plant(`UPDATE undated SET v = 'unseen' WHERE id = 1`);
    await waitFor(async () => (await next()).plain === 5, { what: 'the sweep has mended what it sees' });
    expect(await next()).toEqual({ plain: 5, local: 1, undated: 0 });
    const rows = await query(pair.secondary.url, `SELECT v FROM plain WHERE id IN (1500, 1501, 1600, 1601, 1602)`);
    expect(rows).toEqual(new Array(5).fill({ v: 'v' }));
    // The version that was the later one on the secondary is not lost.
    const kept = await query(
      pair.secondary.url,
      `SELECT row_key, winner, rule, secondary_version FROM db_redundancy.conflicts`,
    );
    expect(kept).toEqual([
      {
        row_key: '["1601"]',
        winner: 'primary',
        rule: 'sweep',
        secondary_version: expect.stringContaining('"foreign"'),
      },
    ]);
    const found = await verify(stream);
    expect(counts(found.get('plain') as never)).toEqual({ ...EQUAL, missing: 2, extra: 1, different: 1 });
    expect(counts(found.get('local') as never)).toEqual(EQUAL);
    expect(counts(found.get('undated') as never)).toEqual({ ...EQUAL, different: 1 });
    const { tables } = stream.streamer.snapshot();
    expect(tables.map(({ lastSweep, name }) => [name, lastSweep?.coveredBy]).sort()).toEqual([
      ['local', 'sweep'],
      ['plain', 'sweep'],
      ['undated', 'verify'],
    ]);
    const updated = stream.log.entries.map(
      ({ message }) => /^Sync completed: (\d+) records updated$/.exec(message)?.[1],
    );
    expect(updated.reduce((sum, count) => sum + Number(count ?? 0), 0)).toBe(6);
  });

  it('repairs nothing in a healthy system under writes', async () => {
    await using pair = await createDatabasePair('healthy', dialect);
    await query(pair.primary.url, DDL);
    const { next, stream } = await sweeping(pair);
    await using _ = stream;
    const stop = new AbortController();
    const writing = withClient(pair.primary.url, async (client) => {
      for (let i = 0; !stop.signal.aborted; i++)
        await client.query(
          i % 4 === 0
            ? `DELETE FROM plain WHERE id = ${(i * 7) % 2000}`
            : `INSERT INTO plain VALUES (${(i * 13) % 2000}, 'w${i}') ON CONFLICT (id) DO UPDATE SET v = excluded.v, updated_at = now()`,
        );
    });
    try {
      for (let i = 0; i < 4; i++) expect(await next()).toEqual({ plain: 0, local: 0, undated: 0 });
    } finally {
      stop.abort();
      await writing;
    }
  });

  it('loses no row at equal updated_at over many pages, nor one that commits late with an older updated_at', async () => {
    await using pair = await createDatabasePair('equal', dialect);
    await query(pair.primary.url, DDL);
    // The overlap would hide what the page order and the oldest transaction have to do.
    const none = { ...EVERY, overlapMs: 0 };
    await using late = { client: new Client(pair.primary.url), [Symbol.asyncDispose]: () => late.client.end() };
    await late.client.connect();
    const { clock, hold } = holdable();
    await using stream = await new RunningStream(pair, { reconcile: none, clock }).streaming();
    const { streamer } = stream;
    const swept = async () => {
      const since = new Date().toISOString();
      await waitFor(() => (streamer.snapshot().lastSync ?? '') > since, { what: 'a sweep has been done' });
      return streamer.snapshot().tables.find(({ name }) => name === 'plain')?.drift;
    };
    await late.client.query('BEGIN');
    await late.client.query('SELECT now()');
    // 2,600 rows of one time: several pages, of which none may begin behind the others' rows.
    await query(pair.primary.url, `INSERT INTO plain SELECT i, 'same', now() FROM generate_series(10001, 12600) i`);
    await stream.caughtUp();
    await query(pair.secondary.url, `DELETE FROM plain WHERE id IN (10001, 11000, 11001, 11002, 12000, 12001, 12600)`);
    await waitFor(async () => (await swept()) === 7, { what: 'the sweep has mended all of one time' });
    await swept();
    // Only the first sweep behind the commit has to see the row: it must not be over before the row is taken away.
    const release = await hold();
    await late.client.query(`INSERT INTO plain VALUES (20001, 'late'); COMMIT`);
    await stream.caughtUp();
    await query(pair.secondary.url, `DELETE FROM plain WHERE id = 20001`);
    release();
    await waitFor(async () => (await swept()) === 8, { what: 'the late row has been mended' });
  });

  it('does not run while the secondary is the active database', async () => {
    await using pair = await createDatabasePair('active', dialect);
    await query(pair.primary.url, DDL);
    const { next, stream } = await sweeping(pair);
    await using _ = stream;
    await next();
    await query(
      pair.secondary.url,
      `INSERT INTO db_redundancy.control (stream, epoch, state, active, phase, actor, reason)
       VALUES ('db_redundancy', 3, 'SECONDARY_ACTIVE', 'secondary', 'open', 'test', 'test')`,
    );
    const before = await waitFor(
      async () => {
        const { lastSync } = stream.streamer.snapshot();
        await new Promise((resolve) => setTimeout(resolve, 3 * EVERY.sweepIntervalMs));
        return stream.streamer.snapshot().lastSync === lastSync && lastSync;
      },
      { what: 'no sweep has begun for three intervals' },
    );
    await query(pair.secondary.url, `UPDATE plain SET v = 'written there', updated_at = now() WHERE id = 1800`);
    expect((await verify(stream, { table: 'plain', repair: true })).get('plain')?.skipped).toMatch(/active/);
    expect(stream.streamer.snapshot().lastSync).toBe(before);
    const rows = await query(pair.secondary.url, `SELECT v FROM plain WHERE id = 1800`);
    expect(rows).toEqual([{ v: 'written there' }]);
    await query(pair.secondary.url, `UPDATE db_redundancy.control SET active = 'primary', state = 'PRIMARY_ACTIVE'`);
    await waitFor(async () => (await next()).plain === 1, { what: 'the sweep goes on' });
  });
});
