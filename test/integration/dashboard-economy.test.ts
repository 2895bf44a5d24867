/** The dashboard while the primary is left alone (economy mode), with the month of both budgets and its projection. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listRoutes } from '../../src/http/control.js';
import { dashboardRoutes } from '../../src/http/dashboard.js';
import { systemRoutes } from '../../src/http/system-events.js';
import { SystemSource } from '../../src/http/system-source.js';
import { ask } from '../harness/broker.js';
import { CHROMIUM, TestBrowser } from '../harness/chromium.js';
import { accessibilityProblems, fits, shows } from '../harness/dashboard-page.js';
import { FixedController } from '../harness/fixed-controller.js';
import { FixedStatus } from '../harness/fixed-status.js';
import { openHttp } from '../harness/http-fixture.js';

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

describe.skipIf(CHROMIUM === null)('dashboard in economy mode, in Chromium', () => {
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
      await fits(page, width, height);
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
