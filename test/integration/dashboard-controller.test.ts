/**
 * The dashboard of a controller that is a process of its own: it shows what the streamer beside it does, and takes every
 * order. And the page while the primary is left alone, with the month's projection.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WAYBANK_DDL } from '../../src/demo/waybank-schema.js';
import { listRoutes } from '../../src/http/control.js';
import { dashboardRoutes } from '../../src/http/dashboard.js';
import { systemRoutes } from '../../src/http/system-events.js';
import { SystemSource } from '../../src/http/system-source.js';
import { Serve, serveEnvironment } from '../faults/support/serve.js';
import { ask } from '../harness/broker.js';
import { CHROMIUM, TestBrowser } from '../harness/chromium.js';
import { createDatabasePair } from '../harness/cluster.js';
import { accessibilityProblems, begin, carryOut, shows } from '../harness/dashboard-page.js';
import { FixedController } from '../harness/fixed-controller.js';
import { FixedStatus } from '../harness/fixed-status.js';
import { openHttp } from '../harness/http-fixture.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const TOKEN = 'the-token-of-the-dashboard';
const USERS = `INSERT INTO users (wallet_address)
  SELECT '0x' || left(encode(sha256(i::text::bytea), 'hex'), 40) FROM generate_series(1, 50) i`;

const SETTINGS = {
  ...{ checkIntervalMs: 30_000, failoverThreshold: 3, failbackThreshold: 5, cooldownMs: 600_000 },
  ...{ autoFailover: true, autoFailback: true },
};
const ECONOMY = {
  rest: {
    ...({ mode: 'resting', since: '2026-01-24T19:00:00Z', wokenBy: 'application' } as const),
    ...{ rests: 3, restedSeconds: 3600, lastWakeSeconds: 0.5 },
  },
  neon: null,
  budget: {
    ...{ month: '2026-01', since: '2026-01-01T00:00:00Z', slowed: true },
    requestUnits: { used: 4_213_456, projected: 6_456_789, budget: 50_000_000, exceeded: false, byClass: {} },
    computeHours: { used: 92.1, projected: 120.7, budget: 100, exceeded: true, awakeHours: 368.4 },
  },
};

describe.skipIf(CHROMIUM === null)('dashboard of a controller by itself, in Chromium', () => {
  it('shows what the streamer does, and carries out every order', { timeout: 120_000 }, async () => {
    await using pair = await createDatabasePair('dashcontrol');
    await query(pair.primary.url, WAYBANK_DDL);
    await query(pair.primary.url, USERS);
    const path = await mkdtemp(join(tmpdir(), 'db-redundancy-state-'));
    await using _ = { [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
    const environment = serveEnvironment(pair, {
      DB_CONTROL_TOKEN: TOKEN,
      DB_HEALTH_CHECK_INTERVAL_MS: '500',
      DB_HEALTH_TIMEOUT_MS: '500',
      DB_SYNC_INTERVAL_MS: '2000',
      DB_COOLDOWN_MS: '0',
      DB_AUTO_FAILOVER: 'false',
      DB_AUTO_FAILBACK: 'false',
      DB_STATE_DIR: path,
    });
    await using streamer = await Serve.start(environment, 'streamer');
    await streamer.leading();
    await streamer.caughtUp();
    await using controller = await Serve.start(environment, 'controller');
    await using browser = await TestBrowser.launch();
    const page = await browser.open(await controller.base(), { viewport: { width: 1280, height: 1000 } });
    await shows(page, '#title', 'The primary is active');
    await shows(page, '#side-primary .role', 'Active');
    await shows(page, '#side-secondary .health', 'Connected');
    // Of the stream it knows what is stored, and says nothing of what it does not count.
    await shows(page, '#tables-note', '12 tables, 12 streaming');
    await shows(page, '#tables tr:first-child [data-label="Rows applied"]', '–');
    await shows(page, '#flow', /everything applied|behind/);
    const told = async (of: Serve) =>
      (await (await fetch(`${await of.base()}/api/system/tables`)).json()) as { lastSync: string | null };
    await waitFor(async () => (await told(streamer)).lastSync !== null, { what: 'a sweep' });
    const health = async () =>
      (await (await fetch(`${await controller.base()}/api/system/db-health`)).json()) as object;
    expect(await health()).toMatchObject({ state: 'PRIMARY_ACTIVE', status: 'healthy', syncStatus: 'healthy' });
    await shows(page, '#tables tr:first-child [data-label="Last sweep"]', /equal|by verify only/);

    await begin(page, 'verify', TOKEN);
    await carryOut(page, /Ordered for 12 tables/);
    const orders = `SELECT 1 FROM db_redundancy.tables WHERE verify_order IS NOT NULL`;
    expect((await query(pair.secondary.url, orders)).length).toBe(12);
    await begin(page, 'pause', TOKEN);
    await carryOut(page, /are paused/);
    await begin(page, 'resume', TOKEN);
    await carryOut(page, /are on/);
    await begin(page, 'failover', TOKEN);
    await carryOut(page, /The secondary is active/);
    await shows(page, '#side-secondary .role', 'Active');
    await shows(page, '#history', /SECONDARY_ACTIVE.*dashboard: tested in a browser/s);
    await shows(page, '#title', 'The secondary is active, the primary is ready');
    await begin(page, 'failback', TOKEN);
    await carryOut(page, /The primary is active/);
    await shows(page, '#title', 'The primary is active');
    await page.setViewportSize({ width: 360, height: 740 });
    expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
    expect(await accessibilityProblems(page)).toEqual([]);
    expect(browser.problems).toEqual([]);
  });

  it('shows a primary at rest and the month of both budgets, in every size and colour', {
    timeout: 60_000,
  }, async () => {
    const status = new FixedStatus();
    Object.assign(status.current, { status: 'detached', lagSeconds: 0, lagBytes: 0 });
    const controller = new FixedController();
    const source = new SystemSource({
      ...{ name: 's', settings: SETTINGS, stream: status, control: true, economy: () => ECONOMY },
      controller: { snapshot: controller.snapshot, replication: async () => null },
      redact: (text) => text,
    });
    const page_ = dashboardRoutes(join(await ask('dist'), 'dashboard'));
    await using http = await openHttp({ routes: [page_, systemRoutes(source), listRoutes(controller)] });
    using _ = source;
    await using browser = await TestBrowser.launch();
    const page = await browser.open(http.base);
    await shows(page, '#meaning', /Nobody uses the primary/);
    await shows(page, '#side-primary .health', 'At rest, not asked');
    await shows(page, '#side-primary dl', /Latency–Last checkleft alone/);
    await shows(page, '#side-secondary .health', 'Connected');
    await shows(
      page,
      '#facts',
      /the primary is left alone since 2026-01-24 19:00 UTC, 3 rests, the last wake took 0.5 s/,
    );
    await shows(page, '#budget', /Request units 4,210,000 used, 6,460,000 projected, of 50,000,000/);
    await shows(page, '#budget', /Compute-hours 92 used, 121 projected, of 100 Over the budget/);
    await shows(page, '#budget-note', /Sweep and verify come more seldom/);
    for (const [width, height] of [
      [1280, 1000],
      [360, 740],
    ] as const) {
      await page.setViewportSize({ width, height });
      expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await accessibilityProblems(page), `${colorScheme}, ${width}`).toEqual([]);
      }
    }
    // In use again: the same page says so by itself.
    Object.assign(ECONOMY.rest, { mode: 'awake' });
    await shows(page, '#side-primary .health', 'Connected');
    expect(browser.problems).toEqual([]);
  });
});
