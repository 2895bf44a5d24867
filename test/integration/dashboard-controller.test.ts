/**
 * The dashboard of a controller that is a process of its own: it shows what the streamer beside it does, and takes every
 * order.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { WAYBANK_DDL } from '../../src/demo/waybank-schema.js';
import { Serve, serveEnvironment } from '../faults/support/serve.js';
import { CHROMIUM, TestBrowser } from '../harness/chromium.js';
import { createDatabasePair } from '../harness/cluster.js';
import { accessibilityProblems, begin, carryOut, fits, shows } from '../harness/dashboard-page.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

const TOKEN = 'the-token-of-the-dashboard';
const USERS = `INSERT INTO users (wallet_address)
  SELECT '0x' || left(encode(sha256(i::text::bytea), 'hex'), 40) FROM generate_series(1, 50) i`;

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
    await fits(page, 360, 740);
    expect(await accessibilityProblems(page)).toEqual([]);
    expect(browser.problems).toEqual([]);
  });
});
