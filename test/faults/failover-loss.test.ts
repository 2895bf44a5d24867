/**
 * G7: the active secondary dies (SIGKILL), with the primary up and with the primary down. It is nobody's to decide: a person is told,
 * with what to run, by db-health and db:status; the controller goes on by itself when the secondary is back, and nothing
 * that was acknowledged there is lost.
 */
import { expect, it } from 'vitest';
import { dbHealthRoutes } from '../../src/http/db-health.js';
import { openHttp } from '../harness/http-fixture.js';
import { spawnCli } from '../harness/process.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from '../integration/support/failover.js';
import { expectVerified } from '../integration/support/reconcile.js';
import { bothSides } from '../integration/support/stream.js';
import { canKill, mortalPair } from './support/mortal-pair.js';
import { serveEnvironment } from './support/serve.js';

const DDL = `CREATE TABLE notes (id serial PRIMARY KEY, v text NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())`;

describeDialects('G7 the active secondary dies', (dialect) => {
  const mortal = it.skipIf(!canKill(dialect));

  mortal(
    'and a person is told what to do; it goes on by itself when it is back, and loses nothing',
    async () => {
      await using pair = await mortalPair('loss', dialect);
      await using rig = await failoverRig(pair, DDL, ['notes']);
      await using running = await rig.control({ drainTimeoutMs: 30_000 }).settled();
      await using http = await openHttp({
        routes: [dbHealthRoutes({ controller: running.controller, stream: null, redact: (text) => text })],
      });
      const acknowledged: string[] = [];
      const write = async (v: string) => {
        await query(rig.app.secondary, 'INSERT INTO notes (v) VALUES ($1)', [v]);
        acknowledged.push(v);
      };
      const health = async () => {
        const response = await http.get('/api/system/db-health');
        return { code: response.status, body: (await response.json()) as Record<string, unknown> };
      };
      const environment = serveEnvironment(pair, { DB_STATE_DIR: rig.stateDir, DB_HEALTH_TIMEOUT_MS: '2000' });
      const status = async (more: Record<string, string>) => {
        await using cli = await spawnCli(['status'], { env: { ...environment, ...more } });
        const { code } = await cli.exit;
        return { code, text: cli.output() };
      };

      expect(await running.order('failover'), running.describe()).toMatchObject({ done: true });
      await write('first');
      await pair.kill('secondary');
      await running.reaches('MANUAL_REQUIRED');
      expect(await health()).toMatchObject({
        code: 503,
        body: {
          status: 'unhealthy',
          state: 'MANUAL_REQUIRED',
          activeDatabase: 'secondary',
          primary: { connected: true },
        },
      });
      expect(String((await health()).body.alerts)).toMatch(/does not have what was written.*db:doctor.*db:failback/);
      const told = await status({ DB_CONTROLLER_URL: http.base });
      expect(told.text).toMatch(/state:? +MANUAL_REQUIRED/);
      expect(told.text).toMatch(/npm run db:doctor/);
      // The primary could be written, and lacks what was written on the secondary: it stays closed.
      await expect(query(rig.app.primary, `INSERT INTO notes (v) VALUES ('split')`)).rejects.toBeTruthy();
      expect(await running.order('failback'), running.describe()).toMatchObject({ done: false, refused: true });
      const alone = await status({ DB_CONTROLLER_URL: 'http://127.0.0.1:1' });
      expect(alone.code).toBe(1);
      expect(alone.text).toMatch(/neither does the secondary.*The primary answers.*active secondary/);
      expect(alone.text).toMatch(/dashboards.*db:doctor/);
      await pair.startAgain('secondary');
      await running.reaches('READY', 40_000);
      expect((await health()).code).toBe(200);
      await write('second');

      await Promise.all([pair.kill('primary'), pair.kill('secondary')]);
      await running.reaches('MANUAL_REQUIRED');
      expect(String((await health()).body.alerts)).toMatch(/Neither database answers.*both dashboards.*db:status/);
      await pair.startAgain('secondary');
      await running.reaches('SECONDARY_ACTIVE', 40_000);
      expect((await health()).body).toMatchObject({ status: 'failed_over', primary: { connected: false } });
      await write('third');
      await pair.startAgain('primary');
      await running.reaches('READY', 40_000);
      const back = await running.order('failback');
      expect(back, running.describe()).toMatchObject({ done: true, state: 'PRIMARY_ACTIVE' });
      expect((await health()).body).not.toHaveProperty('alerts');
      await running.controller.idle();
      await rig.stream.streaming();
      await rig.stream.caughtUp();
      const rows = await bothSides(pair, 'notes');
      expect(rows.secondary).toEqual(rows.primary);
      expect(rows.primary.map((row) => row.v).sort()).toEqual(acknowledged.sort());
      await expectVerified(rig.stream);
    },
    240_000,
  );

  it.skipIf(dialect !== 'postgres')(
    'or is shut down in an orderly way, which the catch-up that cannot confirm to it does not hold up',
    async () => {
      await using pair = await mortalPair('orderly', dialect);
      await using rig = await failoverRig(pair, DDL, ['notes']);
      await using running = await rig.control({ drainTimeoutMs: 30_000 }).settled();
      expect(await running.order('failover'), running.describe()).toMatchObject({ done: true });
      await running.reaches('READY', 40_000);
      let acknowledged = 0;
      const writing = (async () => {
        for (;;) {
          const [row] = await query<{ id: number }>(
            rig.app.secondary,
            `INSERT INTO notes (v) VALUES ('x') RETURNING id`,
          );
          if (row) acknowledged += 1;
        }
      })().catch(() => undefined);
      await waitFor(() => acknowledged > 20, { what: 'the application writes' });
      await pair.shutDown('secondary', 20_000);
      await writing;
      await pair.startAgain('secondary');
      await running.reaches('READY', 40_000);
      expect(await running.order('failback'), running.describe()).toMatchObject({ done: true });
      const [row] = await query<{ n: number }>(pair.primary.url, 'SELECT count(*)::int AS n FROM notes');
      expect(row?.n).toBeGreaterThanOrEqual(acknowledged);
    },
    120_000,
  );
});
