/**
 * G3, effect once, on both kinds of secondary: 40001 at every kind of statement that the pipeline sends and at COMMIT, a
 * connection that is lost before COMMIT, after it, and anywhere. A table without a key shows what was applied twice.
 */
import { randomInt } from 'node:crypto';
import { expect, it } from 'vitest';
import { RestartFromCheckpoint } from '../../src/pipeline/apply-errors.js';
import type { TransactionPart } from '../../src/pipeline/entries.js';
import type { PartSource } from '../../src/pipeline/large.js';
import { createDatabasePair } from '../harness/cluster.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects, type SecondaryDialect } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { Rig } from './retry-support.js';
import { bothSides, RunningStream } from './support/stream.js';

/** One batch with every kind of statement, and what is in the tables afterwards. */
async function filled(dialect: SecondaryDialect): Promise<Rig> {
  const rig = await Rig.create(dialect);
  await rig.apply(
    ...[1, 2, 3, 4].map((id) => rig.insert('keyed', String(id), 'old', 'kept')),
    ...['x', 'x', 'x', 'y'].map((b) => rig.insert('bag', '1', b)),
    rig.insert('uniq', '1', '1'),
    rig.insert('uniq', '2', '2'),
  );
  return rig;
}

function everything(rig: Rig) {
  return [
    rig.insert('keyed', '5', 'new', null),
    rig.update('keyed', ['1', 'patched', undefined]),
    rig.delete('keyed', '2', null, null),
    rig.update('keyed', ['30', 'moved', undefined], ['3', null, null]),
    rig.insert('bag', '2', 'z'),
    rig.delete('bag', '1', 'x'),
    rig.delete('bag', '1', 'y'),
  ];
}

/** Everything that is needed is known, and this one is left. */
function partsOf(last: TransactionPart): PartSource {
  return { next: async () => last, isPrepared: () => true, prepare: async (part) => part };
}

const AFTER_EVERYTHING = {
  keyed: ['1,patched,kept', '30,moved,kept', '4,old,kept', '5,new,NULL'],
  bag: ['1,x', '1,x', '2,z'],
};

async function contents(rig: Rig) {
  return { keyed: await rig.rows('keyed'), bag: await rig.rows('bag') };
}

/** Each kind of statement, by what it begins with. */
const KINDS = [
  ['upsert', /^(UPSERT INTO|INSERT INTO) "public"."keyed"/],
  ['patch', /^UPDATE "public"."keyed" AS t/],
  ['delete', /^DELETE FROM "public"."keyed"/],
  ['move', /^UPDATE "public"."keyed" SET/],
  ['insert into a table without a key', /^INSERT INTO "public"."bag"/],
  ['delete from a table without a key', /^DELETE FROM "public"."bag"/],
  ['checkpoint', /UPDATE db_redundancy.checkpoint/],
] as const;

describeDialects('an apply that is refused with 40001', (dialect) => {
  it('G3 takes effect once, at whichever statement it was refused', async () => {
    for (const [kind, at] of KINDS) {
      await using rig = await filled(dialect);
      rig.fault = { at, times: 2 };
      await rig.apply(...everything(rig));
      expect(rig.fault.times, kind).toBe(0);
      expect(rig.counters.batchRetries, kind).toBe(2);
      expect(await contents(rig), kind).toEqual(AFTER_EVERYTHING);
      expect((await rig.checkpoint())?.lsn, kind).toBe(rig.lsn);
      expect(rig.counters.batchesReordered, kind).toBe(0);
    }
  });

  it('G3 takes effect once when COMMIT was refused', async () => {
    await using rig = await filled(dialect);
    if (dialect === 'postgres') {
      // A deferred trigger speaks at COMMIT; a sequence counts attempts, also those that are rolled back.
      await rig.sql(`CREATE SEQUENCE attempts;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'forced' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON bag DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()`);
    } else {
      // What the transaction has read changes, and its own time is pushed behind that: it cannot be serialized any more.
      rig.beforeCommit = () =>
        withClient(rig.url, async (client) => {
          await client.query(`INSERT INTO bag VALUES (9, 'other')`);
          await client.query('BEGIN PRIORITY HIGH');
          await client.query('SELECT * FROM db_redundancy.checkpoint');
          await client.query('COMMIT');
        });
    }
    await rig.apply(...everything(rig));
    expect(rig.counters.batchRetries).toBe(1);
    expect(rig.log.entries.some((entry) => JSON.stringify(entry.details).includes('40001'))).toBe(true);
    const others = dialect === 'postgres' ? [] : ['9,other'];
    expect(await contents(rig)).toEqual({ ...AFTER_EVERYTHING, bag: [...AFTER_EVERYTHING.bag, ...others] });
  });

  it('G3 takes effect once on the careful way', async () => {
    const swap = (rig: Rig) => [
      rig.update('uniq', ['1', '-1']),
      rig.update('uniq', ['2', '1']),
      rig.update('uniq', ['1', '2']),
      rig.insert('bag', '7', 'swap'),
    ];
    for (const at of [
      /^DELETE FROM "public"."uniq"/,
      /^INSERT INTO "public"."bag"/,
      /UPDATE db_redundancy.checkpoint/,
    ]) {
      await using rig = await filled(dialect);
      rig.fault = { at, times: 2 };
      await rig.apply(...swap(rig));
      expect(rig.fault.times, String(at)).toBe(0);
      expect(await rig.rows('uniq'), String(at)).toEqual(['1,2', '2,1']);
      expect(
        (await rig.rows('bag')).filter((row) => row === '7,swap'),
        String(at),
      ).toHaveLength(1);
      expect(rig.counters.batchRetries, String(at)).toBeGreaterThan(0);
    }
  });

  it('G3 gives a large transaction up as a whole, to be read again', async () => {
    for (const [kind, at] of KINDS) {
      await using rig = await filled(dialect);
      const before = { ...(await contents(rig)), lsn: (await rig.checkpoint())?.lsn };
      const large = async () => {
        const changes = everything(rig);
        const last = rig.part(changes.slice(4));
        const first = { ...last, commit: null, changes: changes.slice(0, 4) };
        await rig.applier.applyLarge(first, partsOf(last), () => rig.goal());
      };
      rig.fault = { at, times: 1 };
      await expect(large(), kind).rejects.toBeInstanceOf(RestartFromCheckpoint);
      expect({ ...(await contents(rig)), lsn: (await rig.checkpoint())?.lsn }, kind).toEqual(before);
      await large();
      expect(await contents(rig), kind).toEqual(AFTER_EVERYTHING);
    }
  });

  it('G3 repeats a chunk, a transaction of its own and an idle move of the checkpoint', async () => {
    await using rig = await filled(dialect);
    const step = {
      kind: 'truncate',
      bindings: [...(rig.registry.get({ schema: 'public', name: 'uniq' })?.bindings.values() ?? [])],
    } as const;
    rig.fault = { at: /^DELETE FROM "public"."uniq"/, times: 2 };
    await rig.applier.applySteps([step], [{ text: `INSERT INTO bag VALUES (8, 'extra')`, values: [] }]);
    rig.fault = { at: /own transaction/, times: 2 };
    await rig.applier.inTransaction(async (session) => {
      await session.run({ text: `INSERT INTO bag VALUES (8, 'own transaction')`, values: [] });
    });
    expect(rig.counters.batchRetries).toBe(4);
    rig.lsn += 100n;
    await rig.applier.moveCheckpoint(rig.goal());
    expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
    expect(await rig.rows('uniq')).toEqual([]);
    expect((await rig.rows('bag')).filter((row) => row.startsWith('8'))).toEqual(['8,extra', '8,own transaction']);
  });
});

describeDialects('an apply whose connection is lost', (dialect) => {
  async function proxied(): Promise<{ rig: Rig; proxy: TcpProxy }> {
    let proxy: TcpProxy | undefined;
    const rig = await Rig.create(dialect, async (url) => {
      proxy = await TcpProxy.start(url);
      return proxy.url(url);
    });
    return { rig, proxy: proxy as TcpProxy };
  }

  it.for([
    ['after COMMIT had gone to the server', 'toTarget', 'forward-then-cut'],
    ['with the answer to COMMIT on its way', 'toClient', 'cut'],
    ['before COMMIT had gone to the server', 'toTarget', 'cut'],
  ] as const)('G3 takes effect once when it is lost %s', async ([, side, verdict]) => {
    const { rig, proxy } = await proxied();
    await using _rig = rig;
    await using _proxy = proxy;
    await rig.apply(rig.insert('bag', '0', 'first'), rig.insert('keyed', '1', 'old', 'kept'));
    for (let i = 1; i <= 5; i++) {
      let cuts = 0;
      proxy.onData = (direction, data) => {
        if (direction !== side || cuts > 0 || !data.includes('COMMIT')) return 'forward';
        cuts += 1;
        return verdict;
      };
      await rig.apply(rig.insert('bag', String(i), 'once'), rig.update('keyed', ['1', `v${i}`, undefined]));
      expect(cuts).toBe(1);
      expect(await rig.rows('bag')).toEqual(['0,first', ...Array.from({ length: i }, (_, n) => `${n + 1},once`)]);
      expect(await rig.rows('keyed')).toEqual([`1,v${i},kept`]);
      expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
    }
  });

  it('G3 takes effect once when it is lost anywhere, again and again', async () => {
    const { rig, proxy } = await proxied();
    await using _rig = rig;
    await using _proxy = proxy;
    await rig.apply(rig.insert('keyed', '1', 'v0', 'kept'));
    let passed = 0;
    let next = randomInt(1, 20);
    proxy.onData = () => {
      passed += 1;
      if (passed < next) return 'forward';
      passed = 0;
      next = randomInt(2, 30);
      return randomInt(2) === 0 ? 'cut' : 'forward-then-cut';
    };
    for (let i = 1; i <= 60; i++) {
      await rig.apply(
        rig.insert('bag', String(i), 'once'),
        rig.update('keyed', ['1', `v${i}`, undefined]),
        ...(i > 10 ? [rig.delete('bag', String(i - 10), 'once')] : []),
      );
    }
    proxy.onData = undefined;
    expect(rig.counters.batchRetries).toBeGreaterThan(5);
    expect(await rig.rows('bag')).toEqual(Array.from({ length: 10 }, (_, n) => `${n + 51},once`));
    expect(await rig.rows('keyed')).toEqual(['1,v60,kept']);
  });

  it('G3 lets whoever reads a large transaction again see that it is committed', async () => {
    const { rig, proxy } = await proxied();
    await using _rig = rig;
    await using _proxy = proxy;
    const last = rig.part([rig.insert('bag', '2', 'b')]);
    const first = { ...last, commit: null, changes: [rig.insert('bag', '1', 'a')] };
    proxy.onData = (direction, data) => (direction === 'toClient' && data.includes('COMMIT') ? 'cut' : 'forward');
    await expect(rig.applier.applyLarge(first, partsOf(last), () => rig.goal())).rejects.toBeInstanceOf(
      RestartFromCheckpoint,
    );
    expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
    expect(await rig.rows('bag')).toEqual(['1,a', '2,b']);
  });
});

describeDialects('the load of a table without a key', (dialect) => {
  it('G3 is repeated as a whole when its connection is lost between two pages', async () => {
    await using pair = await createDatabasePair('retry', dialect);
    await query(
      pair.primary.url,
      `CREATE TABLE bag (a int, b text); ALTER TABLE bag REPLICA IDENTITY FULL; INSERT INTO bag SELECT i, 'x' FROM generate_series(1, 5000) i`,
    );
    await using proxy = await TcpProxy.start(pair.secondary.url);
    let inserts = 0;
    proxy.onData = (direction, data) => {
      if (direction !== 'toTarget' || !data.includes('INSERT INTO "public"."bag"')) return 'forward';
      inserts += 1;
      return inserts === 1 ? 'cut' : 'forward';
    };
    await using stream = new RunningStream(pair, { secondaryUrl: proxy.url(pair.secondary.url) });
    const state = () => stream.streamer.snapshot().tables[0]?.state;
    await waitFor(() => state() === 'streaming', { what: 'the table is loaded', timeoutMs: 20_000 });
    expect(inserts).toBeGreaterThan(1);
    await query(pair.primary.url, `INSERT INTO bag VALUES (0, 'streamed')`);
    await stream.caughtUp();
    const { primary, secondary } = await bothSides(pair, 'bag');
    expect(secondary).toHaveLength(5001);
    expect(secondary).toEqual(primary);
  });
});

describeDialects('the size of statements', (dialect) => {
  const limit = dialect === 'cockroach' ? 16 << 20 : 1 << 30;

  it.for([
    ['of ASCII', 'x'],
    ['of letters that take three bytes', '日'],
    ['of characters that an array literal quotes', '\\'],
  ] as const)('stays below what the server takes, for 40 MB %s', async ([, letter]) => {
    await using rig = await Rig.create(dialect);
    const rows = 80;
    const value = letter.repeat(Math.floor(500_000 / Buffer.byteLength(letter)));
    await rig.apply(...Array.from({ length: rows }, (_, i) => rig.insert('keyed', String(i), value, null)));
    const [found] = await rig.sql('SELECT count(*)::int AS n, min(length(v))::int AS shortest FROM keyed');
    expect(found).toMatchObject(dialect === 'cockroach' ? { n: String(rows) } : { n: rows });
    expect(Number(found?.shortest)).toBe(value.length);
    expect(rig.longestStatement).toBeLessThan(limit);
    // One that is too long would be found by halving the batch, which is slow and hides a wrong estimate.
    expect(rig.counters.batchesReordered).toBe(0);
  });
});
