/** Reads the secondary all the time while it stands by, and keeps what it saw for the end, when all outcomes are known. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { DatabaseState } from './history.js';
import { readState, type Scope } from './read-state.js';

const PAUSE_MS = 250;

export class Observer {
  /** Snapshots of a standby, the latest last. */
  readonly seen: DatabaseState[] = [];
  readonly #done: Promise<void>;
  #stopping = false;

  constructor(url: string, scope: Scope) {
    this.#done = this.#watch(url, scope);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#done;
  }

  async #watch(url: string, scope: Scope): Promise<void> {
    while (!this.#stopping) {
      // A server that is down, or refuses for a while, is looked at later.
      await this.#look(url, scope).catch(() => undefined);
      await sleep(PAUSE_MS);
    }
  }

  /** G1 is the stream's: where it leads, and all tables are loaded. */
  async #look(url: string, scope: Scope): Promise<void> {
    const { also: standsBy, state } = await readState(url, scope, async (client) => {
      const { rows } = await client.query<{ standby: boolean }>(
        `SELECT (SELECT state FROM db_redundancy.control) = 'PRIMARY_ACTIVE'
           AND NOT EXISTS (SELECT 1 FROM db_redundancy.tables WHERE state <> 'streaming') AS standby`,
      );
      return rows[0]?.standby === true;
    });
    if (standsBy) this.seen.push(state);
  }
}
