/**
 * Work that is done ahead: the next batch of a backlog is made ready while the secondary works on this one, and the next
 * part of a large transaction is sent. What was made too early, or was sent behind a refused part, is made and sent anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { TransactionPart } from '../../src/pipeline/entries.js';
import type { PartSource } from '../../src/pipeline/large.js';
import { DEFAULT_IDLE_POLICY, Ledger } from '../../src/pipeline/ledger.js';
import { EntryQueue } from '../../src/pipeline/queue.js';
import { ApplyLoop } from '../../src/pipeline/run.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { Rig } from './retry-support.js';

const MANY = 100;

describeDialects('ahead', (dialect) => {
  let rig: Rig;
  beforeEach(async () => {
    rig = await Rig.create(dialect);
    // There is a connection by then.
    await rig.applier.moveCheckpoint(rig.goal());
  });
  afterEach(async () => {
    await rig?.[Symbol.asyncDispose]();
  });

  const inserts = (from: number, table = 'keyed') =>
    Array.from({ length: MANY }, (_, i) =>
      table === 'keyed'
        ? rig.insert(table, String(from + i), `v${from + i}`, null)
        : rig.insert(table, String(from + i), String(from + i)),
    );

  /** A loop over a queue that is full with each transaction, and how to end it. */
  function loop() {
    const queue = new EntryQueue({ highBytes: 5, lowBytes: 1 }, { pause() {}, resume() {} });
    const ledger = new Ledger(1n);
    const abort = new AbortController();
    const confirmed: bigint[] = [];
    const running = new ApplyLoop({
      ...{ queue, ledger, applier: rig.applier, registry: rig.registry, clock: systemClock, counters: rig.counters },
      ...{ limits: { maxRows: MANY, maxBytes: 1 << 20 }, largeTransactions: 'atomic', start: rig.goal() },
      idlePolicy: DEFAULT_IDLE_POLICY,
      prepare: async (relation) => {
        const entry = rig.registry.get(relation);
        const [first] = kept;
        if (entry && first) entry.bindings.set(relation, first);
      },
      derive: async () => [],
      onWatermark: async () => undefined,
      onCommit: () => undefined,
      confirm: (lsn) => void confirmed.push(lsn),
    }).run(abort.signal);
    running.catch(() => undefined);
    const kept = [...(rig.registry.get({ schema: 'public', name: 'keyed' })?.bindings.values() ?? [])];
    const end = async () => {
      abort.abort();
      queue.close();
      await running;
    };
    return { queue, ledger, confirmed, end };
  }

  it('G2 G3 batches of a backlog are made ready one ahead, applied once, in order, and confirmed after that', async () => {
    const ready = vi.spyOn(rig.applier, 'ready');
    const { confirmed, end, ledger, queue } = loop();
    const parts = Array.from({ length: 12 }, (_, i) =>
      rig.part([
        ...inserts(i * MANY),
        rig.insert('bag', String(i), 'once'),
        rig.update('keyed', ['0', `by ${i}`, null]),
      ]),
    );
    for (const part of parts) queue.push(part);
    await waitFor(() => ledger.durable === rig.lsn, { what: 'everything is durable' });
    await end();
    expect(ready.mock.results.filter(({ value }) => value !== null).length).toBeGreaterThan(5);
    expect(await rig.rows('keyed')).toHaveLength(12 * MANY);
    expect((await rig.rows('keyed'))[0]).toBe('0,by 11,NULL');
    expect((await rig.rows('bag')).length).toBe(12);
    expect(confirmed).toEqual(parts.map((part) => part.commit?.endLsn));
    expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
  });

  it('G9 what is ready for a table that was paused meanwhile is not applied, and counted', async () => {
    const entry = rig.registry.get({ schema: 'public', name: 'uniq' });
    if (!entry) throw new Error('The table is missing');
    const { end, ledger, queue } = loop();
    rig.beforeCommit = async () => {
      await waitFor(() => ready.mock.results.length > 0, { what: 'the second batch is ready' });
      entry.state = 'paused';
    };
    const ready = vi.spyOn(rig.applier, 'ready');
    queue.push(rig.part(inserts(0)));
    queue.push(rig.part([...inserts(0, 'uniq'), rig.insert('bag', '1', 'b')]));
    await waitFor(() => ledger.durable === rig.lsn, { what: 'everything is durable' });
    await end();
    expect(ready.mock.results.map(({ value }) => value !== null)).toEqual([true]);
    expect(await rig.rows('keyed')).toHaveLength(MANY);
    expect(await rig.rows('uniq')).toEqual([]);
    expect(await rig.rows('bag')).toEqual(['1,b']);
    expect(rig.counters.changesSkippedPaused).toBe(MANY);
  });

  it('G3 what is ready is made anew for a connection that was lost, and a row that is there already', async () => {
    await rig.sql(`INSERT INTO keyed VALUES (${MANY + 5}, 'stale', 'stale')`);
    const { end, ledger, queue } = loop();
    rig.fault = { at: /db_redundancy.checkpoint/, times: 1 };
    queue.push(rig.part([...inserts(0), rig.insert('bag', '1', 'once')]));
    queue.push(rig.part([...inserts(MANY), rig.insert('bag', '2', 'once')]));
    queue.push(rig.part([...inserts(2 * MANY), rig.insert('bag', '3', 'once')]));
    await waitFor(() => ledger.durable === rig.lsn, { what: 'everything is durable' });
    await end();
    expect(await rig.rows('keyed')).toHaveLength(3 * MANY);
    expect(await rig.rows('keyed')).toContain(`${MANY + 5},v${MANY + 5},NULL`);
    expect(await rig.rows('bag')).toEqual(['1,once', '2,once', '3,once']);
  });

  /** A large transaction of these parts, each of which is there as soon as it is asked for. */
  async function applyLarge(parts: readonly TransactionPart[]): Promise<void> {
    const rest = parts.map((part, i) => ({
      ...part,
      first: i === 0,
      commit: i === parts.length - 1 ? part.commit : null,
    }));
    const source: PartSource = {
      next: async () => {
        await sleep(0);
        return rest.shift() as TransactionPart;
      },
      isPrepared: () => true,
      prepare: async (part) => part,
    };
    await rig.applier.applyLarge(rest.shift() as TransactionPart, source, () => rig.goal());
  }

  it('G1 G3 a refused part, and those behind it, are applied in their order', async () => {
    await rig.sql(`INSERT INTO keyed VALUES (${2 * MANY + 5}, 'stale', 'stale')`);
    await applyLarge([
      rig.part([...inserts(0), rig.insert('bag', '1', 'once')]),
      rig.part([rig.update('keyed', ['1', 'second part', null]), rig.insert('bag', '2', 'once')]),
      // Refused as a COPY: a row is there.
      rig.part([...inserts(2 * MANY), rig.insert('bag', '3', 'once')]),
      rig.part([rig.update('keyed', [String(2 * MANY + 5), 'fourth part', null]), rig.insert('bag', '4', 'once')]),
      rig.part([rig.delete('keyed', '1', null, null), rig.insert('bag', '5', 'once')]),
    ]);
    expect(await rig.rows('keyed')).toHaveLength(2 * MANY - 1);
    expect(await rig.rows('keyed')).toContain(`${2 * MANY + 5},fourth part,NULL`);
    expect(await rig.rows('bag')).toEqual([1, 2, 3, 4, 5].map((n) => `${n},once`));
    expect((await rig.checkpoint())?.lsn).toBe(rig.lsn);
  });

  it('G3 a part that only goes row by row waits for those before it, and those behind it wait', async () => {
    await applyLarge([
      rig.part([rig.insert('uniq', '1', '10'), rig.insert('uniq', '2', '20'), rig.insert('bag', '1', 'once')]),
      // In one statement each value would be there twice.
      rig.part([rig.update('uniq', ['1', '30']), rig.update('uniq', ['2', '10']), rig.update('uniq', ['1', '20'])]),
      rig.part([rig.update('uniq', ['2', '40']), rig.insert('bag', '2', 'once')]),
      rig.part([rig.insert('uniq', '3', '10'), rig.insert('bag', '3', 'once')]),
    ]);
    expect(await rig.rows('uniq')).toEqual(['1,20', '2,40', '3,10']);
    expect(await rig.rows('bag')).toEqual(['1,once', '2,once', '3,once']);
  });
});
