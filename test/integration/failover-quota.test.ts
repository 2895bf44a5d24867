/**
 * A primary whose compute time is used up refuses every connection with one sentence: that is enough for a failover, and
 * until it stops saying so there is neither a failback nor a storm of questions. A login trigger of PostgreSQL says it.
 */
import { expect, it } from 'vitest';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';
import { failoverRig } from './support/failover.js';

const DDL = 'CREATE TABLE entries (id bigint PRIMARY KEY, note text)';
const SAYS = 'Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.';
const QUOTA_PROBE_MS = 2500;

/** Sessions of ours that must come in all the same. */
function without(url: string): string {
  const parsed = new URL(url);
  parsed.searchParams.set('options', '-c event_triggers=off');
  return parsed.href;
}

async function useUp(url: string): Promise<void> {
  await query(
    url,
    `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '${SAYS}'; END $$;
     CREATE EVENT TRIGGER quota ON login EXECUTE FUNCTION refuse();
     SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
}

describeDialects('a primary without compute time', (dialect) => {
  it('is failed over from at its first word, asked seldom, and comes back by itself when it says another', async () => {
    await using pair = await createDatabasePair('quota', dialect);
    // Ordinary failures would take 1,000 probes.
    const thresholds = { failover: 1000, failback: 2 };
    await using rig = await failoverRig(pair, DDL, ['entries']);
    await using running = await rig
      .control({ settings: { thresholds, autoFailover: true, autoFailback: true, quotaProbeMs: QUOTA_PROBE_MS } })
      .settled();
    await expect(query(pair.primary.url, 'SELECT 1')).resolves.toEqual([{ '?column?': 1 }]);
    await useUp(pair.primary.url);
    await expect(query(pair.primary.url, 'SELECT 1')).rejects.toThrow(SAYS);
    await running.reaches('SECONDARY_ACTIVE');
    const { failedProbes } = running.controller.snapshot().primary;
    expect(failedProbes).toBeLessThan(20);
    await query(rig.app.secondary, `INSERT INTO entries VALUES (1, 'meanwhile')`);

    // While the secondary is asked twelve times, the primary is asked once or twice.
    const probes = () => running.controller.snapshot().secondary.probes;
    const goal = probes() + 12;
    const asked = running.controller.snapshot().primary.probes;
    const from = performance.now();
    await waitFor(() => probes() >= goal, { what: 'twelve probes', timeoutMs: 60_000 });
    expect(running.controller.snapshot()).toMatchObject({ state: 'SECONDARY_ACTIVE', primary: { connected: false } });
    const due = (performance.now() - from) / QUOTA_PROBE_MS;
    expect(running.controller.snapshot().primary.probes - asked).toBeLessThanOrEqual(Math.ceil(due) + 1);

    await query(without(pair.primary.url), 'DROP EVENT TRIGGER quota');
    await running.reaches('PRIMARY_ACTIVE', 60_000);
    expect(await query(pair.primary.url, 'SELECT note FROM entries')).toEqual([{ note: 'meanwhile' }]);
    await running.controller.idle();
    await rig.stream.streaming();
  }, 180_000);
});
