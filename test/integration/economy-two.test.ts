/**
 * Economy mode with two controllers: the one that watches leaves the primary to the other, and passes on what routers tell
 * it; an order wakes the one that rests before it is judged.
 */
import { expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { Rest } from '../../src/economy/rest.js';
import { createDatabasePair } from '../harness/cluster.js';
import { PostgresTraffic } from '../harness/postgres-traffic.js';
import { TcpProxy } from '../harness/proxy.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from './support/failover.js';
import { TestLog } from './support/stream.js';

const DDL = 'CREATE TABLE entries (id bigint PRIMARY KEY)';
const IDLE_MS = 1500;

describeDialects('economy mode of two controllers', (dialect) => {
  it('one rests, the other stays away; use that only the other hears of wakes the first, and so does an order', async () => {
    await using pair = await createDatabasePair('economy', dialect);
    await using rig = await failoverRig(pair, DDL, ['entries']);
    await using proxy = await TcpProxy.start(pair.primary.url);
    const traffic = new PostgresTraffic(proxy, systemClock);
    const rests: Rest[] = [];
    const control = (told: () => void) => {
      const options = {
        clock: systemClock,
        log: new TestLog(),
        idleMs: IDLE_MS,
        maxMs: 3_600_000,
        onUseElsewhere: told,
      };
      const rest = new Rest(options);
      rests.push(rest);
      return { rest, running: rig.control({ primaryUrl: proxy.url(pair.primary.url), rest }) };
    };
    try {
      const first = control(() => undefined);
      await using leader = await first.running.leading();
      const second = control(() => watcher.controller.heardOfUse());
      await using watcher = second.running;
      await waitFor(() => second.rest.mode === 'elsewhere', { what: 'the second watches' });
      await waitFor(() => first.rest.mode === 'resting' && traffic.oursOpen === 0, {
        what: `a rest; ${leader.describe()}`,
      });

      const before = traffic.ours.connections + traffic.ours.queries;
      const rounds = leader.controller.snapshot().secondary.probes + 10;
      await waitFor(() => leader.controller.snapshot().secondary.probes >= rounds, { what: 'ten rounds' });
      expect(traffic.ours.connections + traffic.ours.queries).toBe(before);
      expect(leader.controller.snapshot()).toMatchObject({ state: 'PRIMARY_ACTIVE', primary: { connected: true } });

      second.rest.stir('application');
      await waitFor(() => first.rest.awake, { what: 'the leader hears of it' });
      expect(first.rest.view()).toMatchObject({ wokenBy: 'application' });

      await waitFor(() => first.rest.mode === 'resting', { what: 'another rest' });
      const asked = leader.controller.snapshot().primary.probes;
      const result = await leader.order('failover', { dryRun: true });
      expect(result, leader.describe()).toMatchObject({ how: 'switchover', refused: false });
      expect(first.rest.view()).toMatchObject({ mode: 'awake', wokenBy: 'order' });
      expect(leader.controller.snapshot().primary.probes).toBeGreaterThan(asked);
    } finally {
      for (const rest of rests) rest.close();
    }
  }, 90_000);
});
