/**
 * The dashboard as an operator uses it: a table pauses and is mended, a switchover and a failback are ordered through the
 * dialog, and the page is watched changing, and `status --watch` beside it.
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
import { spawnCli } from '../harness/process.js';
import { query } from '../harness/sql.js';

const TOKEN = 'the-token-of-the-dashboard';
const USERS = `INSERT INTO users (wallet_address)
  SELECT '0x' || left(encode(sha256(i::text::bytea), 'hex'), 40) FROM generate_series(1, 50) i`;
const HOSTILE = `<img src=x onerror="console.error('markup')">`;

describe.skipIf(CHROMIUM === null)('dashboard in Chromium', () => {
  it('shows, and carries out, a switchover and a failback', { timeout: 120_000 }, async () => {
    await using pair = await createDatabasePair('dashboard');
    await query(pair.primary.url, WAYBANK_DDL);
    await query(pair.primary.url, USERS);
    await using state = await folder();
    const environment = serveEnvironment(pair, {
      DB_CONTROL_TOKEN: TOKEN,
      DB_HEALTH_CHECK_INTERVAL_MS: '1000',
      DB_HEALTH_TIMEOUT_MS: '1000',
      DB_COOLDOWN_MS: '0',
      DB_AUTO_FAILOVER: 'false',
      DB_AUTO_FAILBACK: 'false',
      DB_STATE_DIR: state.path,
    });
    await using serve = await Serve.start(environment);
    await serve.leading();
    await serve.caughtUp();
    const watching = { ...environment, DB_CONTROLLER_URL: await serve.base() };
    await using watcher = await spawnCli(['status', '--watch'], { env: watching });
    await using browser = await TestBrowser.launch();
    const page = await browser.open(await serve.base(), { viewport: { width: 1280, height: 1000 } });
    await shows(page, '#title', 'The primary is active');
    await shows(page, '#connection', 'Live');
    await shows(page, '#side-primary .role', 'Active');
    await shows(page, '#side-secondary .health', 'Connected');
    await shows(page, '#tables-note', '12 tables, 12 streaming');
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      expect(await accessibilityProblems(page), colorScheme).toEqual([]);
    }
    await page.emulateMedia({ colorScheme: 'light' });

    // A row that the secondary refuses pauses its table, and the page mends it.
    await query(pair.secondary.url, `ALTER TABLE app_config ADD CONSTRAINT refused CHECK (key <> 'refused')`);
    await query(pair.primary.url, `INSERT INTO app_config (key, value, description) VALUES ('refused', '{}', $1)`, [
      HOSTILE,
    ]);
    await shows(page, '#tables-note', '12 tables, 11 streaming, 1 paused');
    await watcher.waitForLine(/11 of 12 tables streaming · paused: public\.app_config/);
    await query(pair.secondary.url, 'ALTER TABLE app_config DROP CONSTRAINT refused');
    await page.click('.reason button:visible');
    await begin(page, null, TOKEN.replace('t', 'x'));
    await shows(page, 'dialog .problem', 'The token is not the right one.');
    await page.fill('#order-token', TOKEN);
    await page.keyboard.press('Enter');
    await carryOut(page, /Ordered for public\.app_config/);
    await shows(page, '#tables-note', '12 tables, 12 streaming');
    await page.click('#dead-letters summary');
    await shows(page, '#dead-letters .list', /onerror/);

    // Paused: a failover would be refused, and only a person may go past it.
    await begin(page, 'pause', TOKEN);
    await carryOut(page, /are paused/);
    await shows(page, '#next', /paused until somebody resumes/);
    await begin(page, 'failover', TOKEN);
    await shows(page, 'dialog [data-ok="false"] .guard', /Not paused/);
    expect(await page.isDisabled('dialog .grave')).toBe(true);
    expect(await accessibilityProblems(page)).toEqual([]);
    await page.click('dialog .check input');
    await shows(page, 'dialog .warning', 'You go past what does not hold.');
    await page.keyboard.press('Escape');
    await begin(page, 'resume', TOKEN);
    await carryOut(page, /are on/);

    await begin(page, 'failover', TOKEN);
    await shows(page, 'dialog .guards', /The secondary takes writes.*needs: yes/s);
    await shows(page, '#title', 'The primary is active');
    await carryOut(page, /The secondary is active/);
    await shows(page, '#title', /^The secondary is active, the primary is (catching up|ready)$/);
    await shows(page, '#side-secondary .role', 'Active');
    await shows(page, '#announce', /The secondary is active/);
    await shows(page, '#history', /SECONDARY_ACTIVE.*dashboard: tested in a browser/s);

    await shows(page, '#title', 'The secondary is active, the primary is ready');
    await watcher.waitForLine(/active secondary · The secondary is active/);
    await begin(page, 'failback', TOKEN);
    await carryOut(page, /The primary is active/);
    await shows(page, '#title', 'The primary is active');
    await shows(page, '#side-primary .role', 'Active');

    // Conflicts, with values that would be markup.
    await query(
      pair.secondary.url,
      `INSERT INTO db_redundancy.conflicts (stream, failover_epoch, schema_name, table_name, row_key, position, winner, rule, primary_version, secondary_version)
       VALUES ('db_redundancy', 4, 'public', 'app_config', '["7"]', 1, 'secondary', 'updated_at', $1, $2)`,
      [JSON.stringify({ key: '7', value: HOSTILE }), JSON.stringify({ key: '7', value: 'plain' })],
    );
    await page.click('#conflicts summary');
    await shows(page, '#conflicts [data-differs="true"] td code', HOSTILE);
    await fits(page, 360, 740);
    expect(await accessibilityProblems(page)).toEqual([]);
    await watcher.waitForLine(/PRIMARY_ACTIVE epoch 1\d active primary · The primary is active · stream streaming/);
    watcher.kill('SIGINT');
    expect(await watcher.exit).toEqual({ code: 0, signal: null });
    // A browser reports refused orders by itself: the wrong token, and the guard that did not hold.
    const expected = /Failed to load resource.* status of (401|409) .*\/api\/system\/(sync|failover)\)$/;
    expect(browser.problems.filter((text) => !expected.test(text))).toEqual([]);
  });
});

async function folder() {
  const path = await mkdtemp(join(tmpdir(), 'db-redundancy-state-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
