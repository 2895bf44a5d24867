/**
 * Writers that follow the route as routers do: a lease from the authority, nothing begun without one, the hold
 * acknowledged when nothing is under way. Each row has a number of its own; what was acknowledged is kept.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import type { LeasingAuthority } from '../../../src/authority/authority.js';
import type { Route, Side } from '../../../src/core/route.js';

export const FLEET_DDL = `CREATE TABLE entries (id bigserial PRIMARY KEY, writer int NOT NULL, no int NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), UNIQUE (writer, no));`;

export interface Acknowledged {
  readonly writer: number;
  readonly no: number;
  readonly side: Side;
  readonly atMs: number;
}

const NEVER = { okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 0 };

export class WriterFleet implements AsyncDisposable {
  readonly acknowledged: Acknowledged[] = [];
  /** Errors of statements, by SQLSTATE or message. */
  readonly errors = new Map<string, number>();
  readonly #authority: LeasingAuthority;
  readonly #urls: Readonly<Record<Side, string>>;
  readonly #done: Promise<void>[];
  readonly #router = randomUUID();
  #stopping = false;
  #busy = 0;
  #leaseUntil = 0;
  #route: Route | null = null;

  constructor(authority: LeasingAuthority, urls: Readonly<Record<Side, string>>, writers: number) {
    this.#authority = authority;
    this.#urls = urls;
    this.#done = [this.#keepLease(), ...Array.from({ length: writers }, (_, writer) => this.#write(writer))];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#done);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** The longest time between two acknowledgements of the fleet, and between the last on one side and the first on the other. */
  pauses(): { readonly longestMs: number; readonly atSwitchMs: readonly number[] } {
    const sorted = [...this.acknowledged].sort((a, b) => a.atMs - b.atMs);
    let longestMs = 0;
    const atSwitchMs: number[] = [];
    for (const [i, entry] of sorted.entries()) {
      const before = sorted[i - 1];
      if (!before) continue;
      longestMs = Math.max(longestMs, entry.atMs - before.atMs);
      if (before.side !== entry.side) atSwitchMs.push(Math.round(entry.atMs - before.atMs));
    }
    return { longestMs: Math.round(longestMs), atSwitchMs };
  }

  async #keepLease(): Promise<void> {
    let renewAt = 0;
    while (!this.#stopping) {
      const published = this.#authority.route;
      const news = published !== null && published.epoch !== this.#route?.epoch;
      const idle = this.#busy === 0;
      const holding = this.#route?.phase === 'hold';
      if (news || (holding && idle) || performance.now() >= renewAt) {
        if (published) this.#route = published;
        const sent = performance.now();
        const answer = this.#authority.lease({
          router: this.#router,
          name: 'fleet',
          epoch: this.#route?.epoch ?? 0,
          idle,
          waiting: 0,
          primary: NEVER,
          secondary: NEVER,
        });
        if (typeof answer !== 'string') this.#leaseUntil = sent + answer.leaseMs;
        renewAt = sent + 500;
      }
      await sleep(2);
    }
  }

  async #write(writer: number): Promise<void> {
    const clients: Partial<Record<Side, Client>> = {};
    for (let no = 1; !this.#stopping; ) {
      const route = this.#route;
      if (!route || route.phase === 'hold' || performance.now() >= this.#leaseUntil) {
        await sleep(1);
        continue;
      }
      this.#busy += 1;
      try {
        // As a router does at a flip: nothing of the former side is kept.
        const former: Side = route.active === 'primary' ? 'secondary' : 'primary';
        await clients[former]?.end().catch(() => undefined);
        delete clients[former];
        clients[route.active] ??= await this.#connect(route.active);
        await clients[route.active]?.query(`INSERT INTO entries (writer, no) VALUES (${writer}, ${no})`);
        this.acknowledged.push({ writer, no, side: route.active, atMs: performance.now() });
        no += 1;
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        this.errors.set(code ?? message, (this.errors.get(code ?? message) ?? 0) + 1);
        await clients[route.active]?.end().catch(() => undefined);
        delete clients[route.active];
        // It may have been committed before its answer was lost: another number, so that nothing is written twice.
        no += 1;
        await sleep(20);
      } finally {
        this.#busy -= 1;
      }
      await sleep(1);
    }
    await Promise.all(Object.values(clients).map((client) => client.end().catch(() => undefined)));
  }

  async #connect(side: Side): Promise<Client> {
    const client = new Client({ connectionString: this.#urls[side], application_name: 'fleet' });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }
}
