/**
 * Takes the pictures of the dashboard for the documents: two embedded servers, the twelve tables, a workload, `serve`, and
 * a failover on the way. `node scripts/pictures.mjs [folder]`, after `npm run build`; needs Chromium (CHROMIUM_PATH).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { chromium } from 'playwright-core';
import { EmbeddedServer } from '../dist/demo/embedded.js';
import { WAYBANK_DDL } from '../dist/demo/waybank-schema.js';
import { seedWaybank } from '../dist/demo/waybank-seed.js';
import { Workload } from '../dist/demo/workload.js';

const folder = process.argv[2] ?? 'docs/images';
const TOKEN = 'a-token-for-the-pictures';
const LARGEST_BYTES = 200_000;
const THROW_AWAY = { fsync: 'off', full_page_writes: 'off' };
const closers = [];

async function databases() {
  const urls = [];
  for (const name of ['primary', 'secondary']) {
    const server = await EmbeddedServer.start({ name, settings: THROW_AWAY });
    closers.push(() => server.close());
    const url = new URL(await server.createDatabase('waybank'));
    url.searchParams.set('sslmode', 'disable');
    urls.push(url.href);
  }
  return urls;
}

async function serve(primary, secondary) {
  const state = mkdtempSync(join(tmpdir(), 'db-redundancy-state-'));
  const child = spawn(process.execPath, [fileURLToPath(new URL('../dist/cli/main.js', import.meta.url)), 'serve'], {
    env: {
      ...process.env,
      DATABASE_URL: primary,
      DATABASE_URL_SECONDARY: secondary,
      DB_CONTROL_TOKEN: TOKEN,
      DB_HTTP_PORT: '0',
      DB_STATE_DIR: state,
      DB_SYNC_INTERVAL_MS: '30000',
      DB_HEALTH_CHECK_INTERVAL_MS: '5000',
      DB_COOLDOWN_MS: '0',
      DB_AUTO_FAILBACK: 'false',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  closers.push(async () => {
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
    rmSync(state, { recursive: true, force: true });
  });
  const port = await new Promise((resolve) => {
    let seen = '';
    child.stdout.on('data', (chunk) => {
      seen = (seen + chunk).slice(-100_000);
      const found = /listens on [^"]*?:(\d+)/.exec(seen);
      if (found) resolve(found[1]);
    });
  });
  return `http://127.0.0.1:${port}`;
}

async function until(base, what, holds) {
  for (let tries = 0; tries < 600; tries += 1) {
    const health = await (await fetch(`${base}/api/system/db-health`)).json();
    if (holds(health)) return;
    await sleep(200);
  }
  throw new Error(`It did not come to this: ${what}`);
}

async function order(base, verb, reason) {
  const response = await fetch(`${base}/api/system/${verb}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(['sync', 'verify'].includes(verb) ? { reason } : { reason, actor: 'dashboard' }),
  });
  if (!response.ok) throw new Error(`${verb}: ${await response.text()}`);
}

/** Some seconds of work by an application, with pauses as they come. */
async function work(urls, base, seconds) {
  const [primary, secondary] = urls.map((connectionString) => ({ connectionString }));
  const pool = { primary, secondary, controllerUrl: base, token: TOKEN };
  const workload = await Workload.open({ pool, connections: 4, perSecond: 40 });
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const pause = AbortSignal.timeout(Math.round(2000 + Math.random() * 5000));
    await workload.run(pause);
    await sleep(Math.random() * 2000);
  }
  await workload.close();
}

async function picture(page, name, colorScheme, width, height) {
  const path = join(folder, `${name}.png`);
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height });
  await sleep(1500);
  await page.screenshot({ path });
  const { size } = statSync(path);
  console.log(path, size);
  if (size > LARGEST_BYTES) throw new Error(`${path} is larger than ${LARGEST_BYTES} bytes`);
}

try {
  const [primary, secondary] = await databases();
  const client = new pg.Client({ connectionString: primary });
  await client.connect();
  await client.query(WAYBANK_DDL);
  await seedWaybank(client);
  await client.end();
  const base = await serve(primary, secondary);
  await until(base, 'streaming', ({ syncStatus, state }) => syncStatus === 'healthy' && state === 'PRIMARY_ACTIVE');
  const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';
  const flags = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-background-networking',
    '--disable-sync',
  ];
  const browser = await chromium.launch({ executablePath, headless: true, args: flags });
  closers.push(() => browser.close());
  const page = await (await browser.newContext({ locale: 'en-GB' })).newPage();
  await page.goto(base);
  await order(base, 'verify', 'before maintenance');
  await work([primary, secondary], base, Number(process.env.WORK_SECONDS ?? 90));
  await order(base, 'failover', 'maintenance of the primary');
  await until(base, 'READY', ({ state }) => state === 'READY');
  await picture(page, 'dashboard-dark', 'dark', 1280, 1090);
  await order(base, 'failback', 'maintenance is done');
  await until(base, 'streaming again', ({ syncStatus }) => syncStatus === 'healthy');
  const more = work([primary, secondary], base, 25);
  await sleep(20_000);
  await picture(page, 'dashboard-light', 'light', 1280, 1090);
  await picture(page, 'dashboard-phone', 'light', 360, 860);
  await more;
} finally {
  for (const close of closers.reverse()) await close().catch(console.error);
}
