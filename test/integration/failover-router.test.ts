/**
 * G6, G7, G8 as an application meets them: the real router on the real controller over HTTP. Eight writers through a
 * switchover, a failback, a crash failover (the primary ends by SIGKILL) and a failback from it: every acknowledged write
 * is there once, the errors are those of the contract, and the pauses are printed.
 */
import { expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.js';
import { routeRoutes } from '../../src/http/route.js';
import { RouterPool } from '../../src/router/pool.js';
import { mortalPrimary } from '../faults/support/mortal-pair.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from './support/failover.js';
import { expectVerified } from './support/reconcile.js';
import { accounts, ROUTED_DDL, RoutedFleet } from './support/routed-fleet.js';
import { bothSides } from './support/stream.js';

const WRITERS = 8;
/** What copying to and from CockroachDB keeps up with on a machine that does everything. */
const PAUSE_MS = { postgres: 2, cockroach: 25 } as const;
const CONTRACT = new Set(['40001', '40003']);
/** As with pg.Pool, of a connection that a dead side refuses before the controller has decided. */
const REFUSED = new Set(['ECONNREFUSED', 'ECONNRESET']);

describeDialects('G6 G7 G8 the router on the controller', (dialect) => {
  it(`takes ${WRITERS} writers over and back, planned and by a crash: nothing lost, nothing twice`, async () => {
    await using pair = await mortalPrimary('routed', dialect);
    await using rig = await failoverRig(pair, ROUTED_DDL, ['entries']);
    await using running = await rig
      .control({ leaseTtlMs: 3000, drainTimeoutMs: 30_000, settings: { autoFailover: true } })
      .settled();
    await using http = await openHttp({ controlToken: new Secret(TOKEN), routes: [routeRoutes(running.authority)] });
    const pool = new RouterPool({
      primary: { connectionString: rig.app.primary, max: WRITERS },
      secondary: { connectionString: rig.app.secondary, max: WRITERS },
      controllerUrl: http.base,
      token: TOKEN,
      holdTimeoutMs: 40_000,
    });
    const fleet = new RoutedFleet(pool, WRITERS, PAUSE_MS[dialect]);
    const writesOn = () => {
      const goal = fleet.acknowledged.size + 200;
      return waitFor(() => fleet.acknowledged.size >= goal, { what: `200 more writes; told ${fleet.told()}` });
    };
    const dead = { fromMs: 0, toMs: 0 };
    const pauses: Record<string, number> = {};
    const during = async (name: string, change: () => Promise<void>) => {
      const from = performance.now();
      await change();
      await writesOn();
      pauses[name] = fleet.pauseMs(from - 50, performance.now());
    };
    const failback = async () => {
      await running.reaches('READY', 40_000);
      const back = await running.order('failback');
      expect(back, running.describe()).toMatchObject({ done: true, state: 'PRIMARY_ACTIVE' });
    };
    try {
      await writesOn();
      await during('switchover', async () => {
        const over = await running.order('failover');
        expect(over, running.describe()).toMatchObject({ done: true, how: 'switchover' });
      });
      expect(pool.route).toMatchObject({ active: 'secondary', phase: 'open' });
      await during('failback', failback);
      // Planned: a transaction may have been ended at the end of its grace, and that is all.
      expect([...fleet.unknown], fleet.told()).toEqual([]);

      await running.controller.idle();
      await rig.stream.streaming();
      await during('crash failover', async () => {
        dead.fromMs = performance.now();
        await pair.kill('primary');
        await running.reaches('FENCING_PRIMARY');
        // The news is on its way to the router.
        dead.toMs = performance.now() + 250;
        await running.reaches('SECONDARY_ACTIVE');
      });
      await pair.startAgain('primary');
      await during('failback after it', failback);
    } finally {
      await fleet.stop();
      await pool.end();
    }
    await running.controller.idle();
    await rig.stream.streaming();
    await rig.stream.caughtUp();

    const beyond = fleet.errors.filter(
      ({ atMs, code }) => !CONTRACT.has(code) && !(REFUSED.has(code) && atMs >= dead.fromMs && atMs <= dead.toMs),
    );
    expect(beyond, fleet.told()).toEqual([]);
    const rows = await bothSides(pair, 'entries');
    expect(rows.secondary).toEqual(rows.primary);
    expect(accounts(fleet, rows.primary)).toEqual({ lost: [], twice: [], invented: [] });
    expect(await query(pair.secondary.url, 'SELECT * FROM db_redundancy.conflicts')).toEqual([]);
    await expectVerified(rig.stream);
    console.log(
      `[${dialect}] pauses of ${WRITERS} writers on the router, ms: ${JSON.stringify(pauses)}; ${fleet.acknowledged.size} writes, told ${fleet.told()}`,
    );
  }, 180_000);
});
