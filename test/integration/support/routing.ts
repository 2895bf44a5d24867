/**
 * Two real databases behind proxies, and the real authority over real HTTP in the controller's place: what a router sees
 * of the world, with a hand on every part of it.
 */
import { readFile } from 'node:fs/promises';
import { createRouteAuthority, type LeasingAuthority } from '../../../src/authority/authority.js';
import type { Route, Side } from '../../../src/core/route.js';
import { Secret } from '../../../src/core/secret.js';
import { routeRoutes } from '../../../src/http/route.js';
import { RouterPool, type RouterPoolOptions } from '../../../src/router/pool.js';
import { createDatabasePair } from '../../harness/cluster.js';
import { openHttp, TOKEN } from '../../harness/http-fixture.js';
import { TcpProxy } from '../../harness/proxy.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';

export interface RoutingOptions {
  /** Of the leases that the authority grants. */
  readonly leaseMs?: number;
  readonly renewMs?: number;
  /** SQL that both databases run at the start. */
  readonly schema?: string;
  /** Creates the control row on both sides. */
  readonly controlRows?: boolean;
}

const MIGRATION = new URL('../../../migrations/secondary/0002_control.sql', import.meta.url);
const never = new AbortController().signal;

export class Routing implements AsyncDisposable {
  readonly authority: LeasingAuthority;
  readonly urls: Readonly<Record<Side, string>>;
  readonly proxies: Readonly<Record<Side, TcpProxy>>;
  readonly #pools: RouterPool[] = [];
  readonly #close: () => Promise<void>;
  #http: Awaited<ReturnType<typeof openHttp>>;
  #epoch = 1;

  private constructor(parts: {
    authority: LeasingAuthority;
    urls: Record<Side, string>;
    proxies: Record<Side, TcpProxy>;
    http: Awaited<ReturnType<typeof openHttp>>;
    close: () => Promise<void>;
  }) {
    this.authority = parts.authority;
    this.urls = parts.urls;
    this.proxies = parts.proxies;
    this.#http = parts.http;
    this.#close = parts.close;
  }

  static async open(options: RoutingOptions = {}): Promise<Routing> {
    const pair = await createDatabasePair('router');
    const urls = { primary: pair.primary.url, secondary: pair.secondary.url };
    const proxies = { primary: await TcpProxy.start(urls.primary), secondary: await TcpProxy.start(urls.secondary) };
    const { leaseMs = 5_000, renewMs = 150 } = options;
    const authority = createRouteAuthority({ leaseMs, renewMs });
    authority.grantUntil(Number.MAX_SAFE_INTEGER);
    const http = await openHttp({ controlToken: new Secret(TOKEN), routes: [routeRoutes(authority)] });
    const control = `CREATE SCHEMA db_redundancy; ${await readFile(MIGRATION, 'utf8')}`;
    const schema = [options.schema ?? '', options.controlRows ? control : ''].join(';');
    const mark = "CREATE TABLE whoami (side text); INSERT INTO whoami VALUES ('%'); ";
    await query(urls.primary, `${mark.replace('%', 'primary')} ${schema}`);
    await query(urls.secondary, `${mark.replace('%', 'secondary')} ${schema}`);
    const close = async () => {
      await Promise.all(Object.values(proxies).map((proxy) => proxy.close()));
      await pair[Symbol.asyncDispose]();
    };
    const routing = new Routing({ authority, urls, proxies, http, close });
    authority.publish(routing.route({}));
    return routing;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get controllerUrl(): string {
    return this.#http.base;
  }

  /** The next route but for what is given; the epoch is the present one unless given. */
  route(overrides: Partial<Route>): Route {
    return {
      epoch: this.#epoch,
      active: 'primary',
      phase: 'open',
      graceMs: 0,
      since: new Date().toISOString(),
      state: 'PRIMARY_ACTIVE',
      ...overrides,
    };
  }

  options(overrides: Partial<RouterPoolOptions> = {}): RouterPoolOptions {
    return {
      primary: { connectionString: this.proxies.primary.url(this.urls.primary), max: 5 },
      secondary: { connectionString: this.proxies.secondary.url(this.urls.secondary), max: 5 },
      controllerUrl: this.controllerUrl,
      token: TOKEN,
      holdTimeoutMs: 10_000,
      ...overrides,
    };
  }

  pool(overrides: Partial<RouterPoolOptions> = {}): RouterPool {
    const pool = new RouterPool(this.options(overrides));
    this.#pools.push(pool);
    return pool;
  }

  publish(overrides: Partial<Route>): Route {
    this.#epoch += 1;
    const route = this.route({ ...overrides, epoch: this.#epoch });
    this.authority.publish(route);
    return route;
  }

  withdrawn(): ReturnType<LeasingAuthority['withdrawn']> {
    return this.authority.withdrawn(this.#epoch, never);
  }

  /** As the controller does it when both are well: hold on the present side, withdraw, open the other. */
  async switchover(to: Side = 'secondary', graceMs = 2_000): Promise<void> {
    const from: Side = to === 'secondary' ? 'primary' : 'secondary';
    this.publish({ active: from, phase: 'hold', graceMs });
    await this.withdrawn();
    this.publish({ active: to, phase: 'open' });
  }

  /** The primary's host is gone; the controller flips when leases are withdrawn. */
  async crash(): Promise<void> {
    await this.breakDown('primary');
    this.publish({ active: 'secondary', phase: 'hold' });
    await this.withdrawn();
    this.publish({ active: 'secondary', phase: 'open', state: 'SECONDARY_ACTIVE' });
  }

  async breakDown(side: Side): Promise<void> {
    await this.proxies[side].refuse();
    this.proxies[side].cut('rst');
  }

  /** The controller's process is gone. */
  async killController(): Promise<void> {
    await this.#http.close();
  }

  /** Another controller at another address: an authority of its own. */
  async writeControl(side: Side, route: Route): Promise<void> {
    await query(
      this.urls[side],
      `INSERT INTO db_redundancy.control (stream, epoch, state, active, phase, grace_ms, actor, reason)
       VALUES ('db_redundancy', $1, $2, $3, $4, $5, 'test', 'test')
       ON CONFLICT (stream) DO UPDATE SET epoch = $1, state = $2, active = $3, phase = $4, grace_ms = $5`,
      [route.epoch, route.state, route.active, route.phase, route.graceMs],
    );
  }

  /** Rows of a table as the database itself has them, past proxies and routers. */
  async count(side: Side, table: string, where = 'true'): Promise<number> {
    const [row] = await query<{ n: number }>(this.urls[side], `SELECT count(*)::int AS n FROM ${table} WHERE ${where}`);
    return row?.n ?? -1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pool of this.#pools) if (!pool.ending) void pool.end();
    await this.#http.close();
    await this.#close();
  }
}

/** The side that a query reaches. */
export async function sideOf(queryable: { query(sql: string): Promise<{ rows: unknown[] }> }): Promise<Side> {
  const { rows } = await queryable.query('SELECT side FROM whoami');
  return (rows[0] as { side: Side }).side;
}

/** Until the pool's route has this epoch. */
export async function knows(pool: RouterPool, epoch: number): Promise<void> {
  await waitFor(() => (pool.route?.epoch ?? -1) >= epoch, { what: `epoch ${epoch} reaches the router` });
}

/** The error that a promise rejects with. */
export function failure(promise: Promise<unknown>): Promise<Error & { code?: string; cause?: Error }> {
  return promise.then(
    () => {
      throw new Error('It was expected to fail.');
    },
    (error) => error,
  );
}
