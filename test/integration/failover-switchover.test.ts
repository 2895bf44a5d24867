/**
 * G6, G7: a planned failover and failback under a write storm. Every write that was acknowledged is on both sides
 * afterwards, each once; the writers see a pause and nothing else. The pause is printed.
 */
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from './support/failover.js';
import { bothSides } from './support/stream.js';
import { FLEET_DDL, WriterFleet } from './support/writer-fleet.js';

const WRITERS = 8;

describeDialects('G6 G7 switchover and failback', (dialect) => {
  it(`lose nothing under ${WRITERS} writers, which see a pause and no error`, async () => {
    await using pair = await createDatabasePair('switch', dialect);
    await using rig = await failoverRig(pair, FLEET_DDL, ['entries']);
    await using running = await rig.control().leading();
    await running.controller.idle();
    await using fleet = new WriterFleet(running.authority, rig.app, WRITERS);
    const written = (n: number) =>
      waitFor(() => fleet.acknowledged.length >= n, {
        what: `${n} writes; errors ${JSON.stringify([...fleet.errors])}`,
      });
    await written(200);

    const over = await running.order('failover');
    expect(over, running.describe()).toMatchObject({ done: true, how: 'switchover', state: 'SECONDARY_ACTIVE' });
    await written(fleet.acknowledged.length + 200);
    await waitFor(() => rig.stream.streamer.snapshot().status === 'fenced', { what: 'the stream obeys' });

    await running.reaches('READY');
    const back = await running.order('failback');
    expect(back, running.describe()).toMatchObject({ done: true, state: 'PRIMARY_ACTIVE' });
    await written(fleet.acknowledged.length + 200);
    await fleet.stop();
    await running.controller.idle();
    await rig.stream.streaming();
    await rig.stream.caughtUp();

    expect([...fleet.errors]).toEqual([]);
    const { primary, secondary } = await bothSides(pair, 'entries');
    expect(secondary).toEqual(primary);
    const kept = new Set(primary.map((row) => `${row.writer}/${row.no}`));
    expect(fleet.acknowledged.filter(({ no, writer }) => !kept.has(`${writer}/${no}`))).toEqual([]);
    expect(new Set(primary.map((row) => row.id)).size).toBe(primary.length);
    expect(await query(pair.secondary.url, 'SELECT * FROM db_redundancy.conflicts')).toEqual([]);
    const { atSwitchMs, longestMs } = fleet.pauses();
    console.log(
      `[${dialect}] pause of ${WRITERS} writers: switchover ${atSwitchMs[0]} ms, failback ${atSwitchMs[1]} ms (orders took ${over.tookMs} and ${back.tookMs} ms; longest pause ${longestMs} ms; ${fleet.acknowledged.length} writes)`,
    );
    expect(atSwitchMs).toHaveLength(2);
  }, 180_000);
});
