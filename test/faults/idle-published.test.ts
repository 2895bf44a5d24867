/**
 * Published tables stand still while others write: the slot must follow, or the primary's disk fills with WAL that
 * nobody needs; and an idle stream must not cost the secondary a statement for each step.
 * DB_TEST_LONG=1 writes 1 GB of WAL, otherwise 120 MB.
 */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { RunningStream, streamNames } from '../integration/support/stream.js';

const MB = 1_000_000;
const MIB = 2 ** 20;
const WRITTEN = process.env.DB_TEST_LONG === '1' ? 1000 * MB : 120 * MB;
const BYTES_PER_SECOND = 30 * MB;
const MOST_RETAINED = 32 * MIB;
/** A step of 4 MiB or more is stored (DEFAULT_IDLE_POLICY), one more each 30 s, and some for what else is asked. */
const MOST_STATEMENTS = WRITTEN / (4 * MIB) + 10;

/** Few segments are kept: the server can recycle them as soon as the slot lets go. */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  max_wal_size: '64MB',
  min_wal_size: '32MB',
  wal_keep_size: '0',
};

describeDialects('G2 idle published tables', (dialect) => {
  it(`lets the primary recycle its WAL while ${WRITTEN / MB} MB are written to other tables`, async () => {
    await using server = await EmbeddedServer.start({ name: 'idle-published', settings: SETTINGS });
    const name = `idle_${randomBytes(5).toString('hex')}`;
    const url = await server.createDatabase(name);
    await using databases = await createDatabasePair('idle', dialect);
    const pair = { ...databases, primary: { name, url } };
    await query(
      url,
      `CREATE TABLE quiet (id int PRIMARY KEY, v text); INSERT INTO quiet VALUES (1, 'x');
       CREATE TABLE busy (id bigserial, filler text); ALTER TABLE busy ALTER filler SET STORAGE PLAIN`,
    );
    await using proxy = await TcpProxy.start(pair.secondary.url);
    await using stream = new RunningStream(pair, {
      tables: [{ schema: 'public', name: 'quiet' }],
      secondaryUrl: proxy.url(pair.secondary.url),
    });
    await stream.streaming();
    let statements = 0;
    proxy.onData = (direction) => {
      if (direction === 'toTarget') statements += 1;
    };

    const slot = streamNames(pair).slot;
    let writing = true;
    const samples: Sample[] = [];
    const watching = withClient(url, async (client) => {
      while (writing) {
        // The primary logs what lets a slot's restart position move every 15 s. Here an hour's writes of an application
        // come within seconds, and so does this.
        await client.query('SELECT pg_log_standby_snapshot()');
        const { rows } = await client.query<Sample>(SAMPLE, [slot]);
        samples.push(rows[0] as Sample);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });
    const began = performance.now();
    await writeElsewhere(url).finally(() => {
      writing = false;
    });
    await watching;
    const seconds = (performance.now() - began) / 1000;
    const most = (field: keyof Sample) => Math.max(...samples.map((sample) => Number(sample[field])));
    console.log(
      `idle published [${dialect}]: ${WRITTEN / MB} MB in ${seconds.toFixed(1)} s; at most ${mib(most('retained'))} retained, ${mib(most('unconfirmed'))} unconfirmed, ${mib(most('wal'))} in pg_wal (${samples.length} samples); ${statements} statements on the secondary`,
    );
    expect(samples.length).toBeGreaterThan(20);
    expect(most('retained')).toBeLessThan(MOST_RETAINED);
    expect(statements).toBeLessThan(MOST_STATEMENTS);
    expect(stream.streamer.counters).toMatchObject({ transactionsApplied: 0, reconnects: 0 });

    // What was let go of was not needed: the published table goes on.
    await query(url, `UPDATE quiet SET v = 'y'`);
    await waitFor(async () => (await query(pair.secondary.url, `SELECT v FROM quiet`)).some((row) => row.v === 'y'), {
      what: 'the published table goes on',
    });
  }, 300_000);
});

/** Bytes of WAL: from the slot's two positions to the end, and on the disk. */
interface Sample extends Record<string, string> {
  retained: string;
  unconfirmed: string;
  wal: string;
}

const SAMPLE = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained,
  pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text AS unconfirmed,
  (SELECT sum(size) FROM pg_ls_waldir())::text AS wal FROM pg_replication_slots WHERE slot_name = $1`;

const POSITION = `SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text AS at`;

/** Many transactions, as an application writes; 700 rows of 1.5 kB each are a megabyte. */
async function writeElsewhere(url: string): Promise<void> {
  await withClient(url, async (client) => {
    const position = async () => Number((await client.query<{ at: string }>(POSITION)).rows[0]?.at);
    const [start, began] = [await position(), performance.now()];
    for (let i = 1, written = 0; written < WRITTEN; i++) {
      await client.query(`INSERT INTO busy (filler) SELECT repeat(md5(i::text), 47) FROM generate_series(1, 700) i`);
      if (i % 50 === 0) await client.query('TRUNCATE busy');
      written = (await position()) - start;
      const early = (written / BYTES_PER_SECOND) * 1000 - (performance.now() - began);
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
    }
  });
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
