/**
 * G7, G10: a failback that cannot be brought to its end is undone, and the application goes on where it was: by the
 * drain's time limit, and by a primary that dies again in the middle of draining (SIGKILL). The next one succeeds, with
 * everything that was acknowledged meanwhile.
 */
import { Client } from 'pg';
import { expect, it } from 'vitest';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from '../integration/support/failover.js';
import { expectVerified } from '../integration/support/reconcile.js';
import { bothSides } from '../integration/support/stream.js';
import { FLEET_DDL, WriterFleet } from '../integration/support/writer-fleet.js';
import { canKill, mortalPair } from './support/mortal-pair.js';

/** A changefeed is some seconds behind by nature: a drain needs them. */
const DRAIN_MS = { postgres: 3000, cockroach: 15_000 } as const;

/** Keeps everybody from writing to the table on the primary until it is disposed of. */
async function locked(url: string): Promise<AsyncDisposable> {
  const client = new Client({ connectionString: url, application_name: 'db-redundancy test lock' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN; LOCK TABLE entries IN EXCLUSIVE MODE');
  return { [Symbol.asyncDispose]: () => client.end().catch(() => undefined) };
}

describeDialects('G7 G10 a failback that does not come to its end', (dialect) => {
  const mortal = it.skipIf(!canKill(dialect));

  mortal(
    'is undone at the drain timeout, and when the primary dies again; the next one loses nothing',
    async () => {
      await using pair = await mortalPair('undone', dialect);
      await using rig = await failoverRig(pair, FLEET_DDL, ['entries']);
      await using running = await rig.control({ drainTimeoutMs: DRAIN_MS[dialect] }).settled();
      await using fleet = new WriterFleet(running.authority, rig.app, 4);
      const writesOn = async (side: 'primary' | 'secondary') => {
        const goal = fleet.acknowledged.length + 50;
        await waitFor(() => fleet.acknowledged.length >= goal, {
          what: `50 more writes; ${running.describe()}; errors ${JSON.stringify([...fleet.errors])}`,
        });
        expect(fleet.acknowledged.at(-1)?.side).toBe(side);
      };
      await writesOn('primary');
      expect(await running.order('failover'), running.describe()).toMatchObject({ done: true });
      await writesOn('secondary');

      await running.reaches('READY', 40_000);
      const before = running.controller.snapshot().epoch;
      {
        await using _lock = await locked(pair.primary.url);
        const late = await running.order('failback');
        expect(late, running.describe()).toMatchObject({ done: false, refused: false });
        expect(late.message).toMatch(/^The failback is undone: .*not within/);
        expect(running.controller.snapshot()).toMatchObject({ active: 'secondary', route: { phase: 'open' } });
        expect(running.controller.snapshot().epoch).toBeGreaterThan(before + 2);
        await writesOn('secondary');
      }

      await running.reaches('READY', 40_000);
      {
        await using _lock = await locked(pair.primary.url);
        const died = running.order('failback');
        await Promise.race([
          running.reaches('DRAINING'),
          died.then((result) => Promise.reject(new Error(`not draining: ${JSON.stringify(result)}`))),
        ]);
        await pair.kill('primary');
        expect(await died, running.describe()).toMatchObject({ done: false, refused: false });
        expect((await died).message).toMatch(/^The failback is undone: the primary does not answer/);
        expect(running.controller.snapshot()).toMatchObject({ active: 'secondary', route: { phase: 'open' } });
        await writesOn('secondary');
      }
      const undone = (await running.controller.history(100)).filter((entry) => /is undone/.test(entry.reason));
      expect(undone.map((entry) => entry.to)).toEqual(['SECONDARY_ACTIVE', 'SECONDARY_ACTIVE']);
      await pair.startAgain('primary');
      await running.reaches('READY', 40_000);
      const back = await running.order('failback');
      expect(back, running.describe()).toMatchObject({ done: true, state: 'PRIMARY_ACTIVE' });
      await writesOn('primary');
      await fleet.stop();
      await running.controller.idle();
      await rig.stream.streaming();
      await rig.stream.caughtUp();

      const { primary, secondary } = await bothSides(pair, 'entries');
      expect(secondary).toEqual(primary);
      const kept = new Set(primary.map((row) => `${row.writer}/${row.no}`));
      expect(fleet.acknowledged.filter(({ no, writer }) => !kept.has(`${writer}/${no}`))).toEqual([]);
      await expectVerified(rig.stream);
      const { atSwitchMs, longestMs } = fleet.pauses();
      console.log(
        `[${dialect}] two failbacks undone: switches ${atSwitchMs.join(', ')} ms, longest pause ${longestMs} ms, ${fleet.acknowledged.length} writes`,
      );
    },
    240_000,
  );
});
