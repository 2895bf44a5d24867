/** Rows for the dashboard's test, and the pictures of it for the documents. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { seedWaybank } from '../../../src/demo/waybank-seed.js';
import { Workload } from '../../../src/demo/workload.js';
import type { DatabasePair } from '../../harness/cluster.js';
import { query, withClient } from '../../harness/sql.js';

const FOLDER = process.env.DB_SCREENSHOTS;
const WORKED_MS = 100_000;
const LARGEST_BYTES = 200_000;

/** Everything where pictures are taken, else a few rows. */
export async function fillWaybank(url: string): Promise<void> {
  if (FOLDER !== undefined) await withClient(url, seedWaybank);
  else
    await query(
      url,
      `INSERT INTO users (wallet_address) SELECT '0x' || left(encode(sha256(i::text::bytea), 'hex'), 40) FROM generate_series(1, 50) i`,
    );
}

export class Pictures {
  readonly #page: Page;
  readonly #pair: DatabasePair;

  constructor(page: Page, pair: DatabasePair) {
    this.#page = page;
    this.#pair = pair;
  }

  /** After some work of the application, so that there is something to see. */
  async take(): Promise<void> {
    if (FOLDER === undefined) return;
    const workload = await Workload.open({
      pool: { primary: { connectionString: this.#pair.primary.url } },
      connections: 4,
      perSecond: 60,
    });
    const enough = new AbortController();
    const running = workload.run(enough.signal);
    await sleep(WORKED_MS);
    await this.#picture('dashboard-light', 'light', 1280, 1000);
    await this.#picture('dashboard-dark', 'dark', 1280, 1000);
    await this.#picture('dashboard-phone', 'light', 360, 780);
    enough.abort();
    await running;
    await workload.close();
    await this.#page.emulateMedia({ colorScheme: 'light' });
    await this.#page.setViewportSize({ width: 1280, height: 1000 });
  }

  async dialog(): Promise<void> {
    if (FOLDER !== undefined) await this.#picture('dashboard-dialog', 'light', 1280, 1000);
  }

  async #picture(name: string, colorScheme: 'light' | 'dark', width: number, height: number): Promise<void> {
    const path = join(FOLDER ?? '.', `${name}.png`);
    await this.#page.emulateMedia({ colorScheme });
    await this.#page.setViewportSize({ width, height });
    await sleep(1200);
    await this.#page.screenshot({ path });
    const { size } = statSync(path);
    if (size > LARGEST_BYTES) throw new Error(`${path} has ${size} bytes`);
  }
}
