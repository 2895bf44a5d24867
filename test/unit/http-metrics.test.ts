import perf from 'node:perf_hooks';
import { describe, expect, it, vi } from 'vitest';
import { economyMetrics } from '../../src/http/economy-metrics.js';
import { createMetrics } from '../../src/http/metrics.js';
import { FixedStatus, SNAPSHOT } from '../harness/fixed-status.js';
import { openHttp } from '../harness/http-fixture.js';

const REST = {
  ...({ mode: 'awake', since: '2026-01-24T20:00:00Z', wokenBy: null } as const),
  ...{ rests: 3, restedSeconds: 60, lastWakeSeconds: null },
};

async function scrape(status = new FixedStatus()): Promise<string> {
  return createMetrics(status).render();
}

describe('GET /metrics', () => {
  it('is in the text format of Prometheus', async () => {
    await using http = await openHttp();
    const response = await http.get('/metrics');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(await response.text()).toContain('db_redundancy_process_cpu_seconds_total');
  });

  it('tells how busy the process is, without a timer that keeps an idle one busy', async () => {
    const monitored = vi.spyOn(perf, 'monitorEventLoopDelay');
    try {
      const text = await scrape();
      expect(monitored.mock.calls.map(([options]) => options?.resolution)).toEqual([60_000]);
      expect(text).toMatch(/^db_redundancy_nodejs_eventloop_utilization\{.*\} (0(\.\d+)?|1)$/m);
      expect(text).toContain('db_redundancy_nodejs_eventloop_lag_seconds{');
      expect(text).not.toContain('nodejs_eventloop_lag_p99_seconds');
    } finally {
      monitored.mockRestore();
    }
  });

  it('reads the snapshot anew at each scrape, and counts nothing twice', async () => {
    await using http = await openHttp();
    const read = async () =>
      /^db_redundancy_rows_applied_total\{.*\} (\d+)$/m.exec(await (await http.get('/metrics')).text())?.[1];
    expect(await read()).toBe('103');
    expect(await read()).toBe('103');
    http.status.current.counters.rowsApplied = 200;
    expect(await read()).toBe('200');
  });
});

describe('metrics of sweeps and verifies', () => {
  const at = '2026-01-24T20:00:00Z';
  const counted = { missing: 5, extra: 6, different: 7, repaired: 8, unsettled: 9, skipped: null };

  it('are there for tables that were looked at, and only for them', async () => {
    const status = new FixedStatus();
    const [users, leads] = status.current.tables;
    Object.assign(users ?? {}, {
      drift: 4,
      lastSweep: { at, coveredBy: 'sweep', compared: 100, repaired: 2, newerOnSecondary: 1 },
      lastVerify: { at, runId: 'r', seconds: 1.5, rows: 1000, ...counted },
    });
    Object.assign(leads ?? {}, { drift: 0 });
    const lines = (await scrape(status)).split('\n');
    const of = (name: string, table: string) =>
      lines
        .find((line) => line.startsWith(`db_redundancy_${name}{`) && line.includes(`table="${table}"`))
        ?.split(' ')[1];
    const values = ['sync_drift', 'sweep_rows_compared', 'sweep_rows_repaired', 'verify_rows', 'verify_differences'];
    expect(values.map((name) => of(name, 'users'))).toEqual(['4', '100', '2', '1000', '10']);
    expect(of('verify_unsettled', 'users')).toBe('9');
    expect(of('verify_timestamp_seconds', 'users')).toBe('1769284800');
    expect(values.map((name) => of(name, 'leads'))).toEqual(['0', undefined, undefined, undefined, undefined]);
    expect(of('sync_drift', 'invoices')).toBeUndefined();
  });
});

describe('the metrics', () => {
  it.each([
    'ready{stream="db_redundancy"} 1',
    'stream_status{stream="db_redundancy",status="streaming"} 1',
    'stream_status{stream="db_redundancy",status="standby"} 0',
    'stream_epoch{stream="db_redundancy"} 7',
    'replication_lag_seconds{stream="db_redundancy"} 0.2',
    'replication_lag_bytes{stream="db_redundancy"} 512',
    `source_lsn_bytes{stream="db_redundancy"} ${0x1a2b3c8}`,
    `received_lsn_bytes{stream="db_redundancy"} ${0x1a2b3c7}`,
    `applied_lsn_bytes{stream="db_redundancy"} ${0x1a2b1c8}`,
    'last_applied_commit_timestamp_seconds{stream="db_redundancy"} 1769284800.123',
    'last_batch_duration_seconds{stream="db_redundancy"} 0.75',
    'dead_letters{stream="db_redundancy"} 3',
    'dropped_changes_total{stream="db_redundancy"} 0',
    'apply_seconds_total{stream="db_redundancy"} 115.5',
    'slot_active{stream="db_redundancy",slot="my_slot"} 1',
    'slot_retained_bytes{stream="db_redundancy",slot="my_slot"} 4096',
    'slot_reading_age_seconds{stream="db_redundancy",slot="my_slot"} 1.5',
    'slot_wal_status{stream="db_redundancy",slot="my_slot",wal_status="reserved"} 1',
    'slot_wal_status{stream="db_redundancy",slot="my_slot",wal_status="lost"} 0',
    'tables{stream="db_redundancy",state="pending"} 1',
    'table_paused{stream="db_redundancy",schema="billing",table="invoices"} 1',
    'table_rows_applied_total{stream="db_redundancy",schema="public",table="users"} 11',
    'table_rows_loaded_total{stream="db_redundancy",schema="public",table="users"} 12',
    'table_rows_expected{stream="db_redundancy",schema="public",table="users"} 13',
    'table_last_change_timestamp_seconds{stream="db_redundancy",schema="public",table="users"} 1769284801',
  ])('db_redundancy_%s', async (line) => {
    expect((await scrape()).split('\n')).toContain(`db_redundancy_${line}`);
  });

  it('hold every counter of the snapshot', async () => {
    const text = await scrape();
    for (const value of Object.values(SNAPSHOT.counters)) expect(text).toContain(`{stream="db_redundancy"} ${value}\n`);
  });

  it('leave out what is unknown', async () => {
    const status = new FixedStatus();
    Object.assign(status.current, { epoch: null, sourceLsn: null, slot: null, lastAppliedCommitAt: null });
    const text = await scrape(status);
    for (const name of [
      'stream_epoch',
      'source_lsn_bytes',
      'slot_active',
      'slot_wal_status',
      'last_applied_commit_timestamp_seconds',
    ]) {
      expect(text).not.toMatch(new RegExp(`^db_redundancy_${name}\\{`, 'm'));
    }
  });

  it('shows a lost slot as missing', async () => {
    const status = new FixedStatus();
    if (status.current.slot) status.current.slot.walStatus = null;
    expect(await scrape(status)).toContain('wal_status="missing"} 1');
  });

  it('forgets a table that is gone', async () => {
    const status = new FixedStatus();
    const metrics = createMetrics(status);
    expect(await metrics.render()).toContain('table="leads"');
    status.current.tables.splice(1, 1);
    expect(await metrics.render()).not.toContain('table="leads"');
  });

  it('name the stream in every sample, also those of controller, budgets and process', async () => {
    const metrics = createMetrics(new FixedStatus());
    economyMetrics(metrics.registry, () => ({ rest: REST, neon: null, budget: null }));
    const samples = (await metrics.render()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(samples).toContain('db_redundancy_economy_rests{stream="db_redundancy"} 3');
    expect(samples.filter((line) => !line.includes('stream="db_redundancy"'))).toEqual([]);
  });

  it('follow the conventions: prefix, help, counters in _total, gauges not', async () => {
    const text = await scrape();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({ name: name ?? '', type }));
    expect(types.length).toBeGreaterThan(40);
    for (const { name, type } of types) {
      expect(name).toMatch(/^db_redundancy_[a-z0-9_]+$/);
      expect(text).toMatch(new RegExp(`^# HELP ${name} \\S`, 'm'));
      if (type === 'counter') expect(name).toMatch(/_total$/);
    }
  });
});
