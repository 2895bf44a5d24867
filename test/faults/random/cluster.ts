/**
 * A whole deployment with a hand on each part: two database servers of its own, streamer and controller as processes,
 * routers in this process, and a proxy on every link between them.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedServer } from '../../../src/demo/embedded.js';
import { releasePort, reservePort } from '../../../src/demo/free-port.js';
import { RouterPool } from '../../../src/router/pool.js';
import { detectCockroach } from '../../harness/cockroach.js';
import { TestProcess } from '../../harness/process.js';
import { TcpProxy } from '../../harness/proxy.js';
import type { SecondaryDialect } from '../../harness/secondary-dialects.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';
import { DiskCockroach } from '../support/disk-cockroach.js';
import { Program } from './program.js';
import { RANDOM_DDL, RANDOM_TABLES } from './workload.js';

export const LINKS = [
  'source',
  'target',
  'controlPrimary',
  'controlSecondary',
  'routerPrimary',
  'routerSecondary',
  'http',
] as const;
export type Link = (typeof LINKS)[number];

const DATABASE = 'faults';
const TOKEN = 'a-token-of-the-fault-tests';
const ROUTERS = 2;
const ROLE = 'application';
/** A probe writes, which takes a busy CockroachDB longer: what is no fault must not look like one. */
const PROBE_MS = { postgres: '500', cockroach: '2000' } as const;

/** A server that tests kill. */
export interface Server extends AsyncDisposable {
  url(database: string): string;
  kill(): Promise<void>;
  /** In good order, or without a checkpoint. */
  stop(mode: 'fast' | 'immediate'): Promise<void>;
  /** Does nothing when it runs. */
  start(): Promise<void>;
}

export interface Health {
  readonly state: string;
  readonly epoch: number;
  readonly activeDatabase: 'primary' | 'secondary';
  readonly alerts?: readonly string[];
}

export interface ClusterOptions {
  /** Folder of the compiled program: ours, or one that was broken on purpose. */
  readonly dist: string;
  /** Of streamer and controller, before the cluster's own. */
  readonly env?: Readonly<Record<string, string>>;
  readonly onAuthorityLost?: 'trust' | 'hold';
}

export class FaultCluster implements AsyncDisposable {
  readonly dialect: SecondaryDialect;
  readonly servers: Readonly<Record<'primary' | 'secondary', Server>>;
  readonly links: Readonly<Record<Link, TcpProxy>>;
  readonly #stack: Closers;
  readonly #httpPort: number;
  readonly #options: ClusterOptions;
  /** What the streamer was started with. */
  #streaming: Readonly<Record<string, string>> = {};
  #programs: { streamer: Program; controller: Program } | null = null;
  #pools: RouterPool[] = [];
  readonly #rivals: Program[] = [];

  private constructor(parts: {
    dialect: SecondaryDialect;
    servers: FaultCluster['servers'];
    links: FaultCluster['links'];
    stack: Closers;
    httpPort: number;
    options: ClusterOptions;
  }) {
    this.dialect = parts.dialect;
    this.servers = parts.servers;
    this.links = parts.links;
    this.#stack = parts.stack;
    this.#httpPort = parts.httpPort;
    this.#options = parts.options;
  }

  static async start(dialect: SecondaryDialect, options: ClusterOptions): Promise<FaultCluster> {
    const stack = new Closers();
    try {
      const servers = {
        primary: stack.use(await postgresServer('primary')),
        secondary: stack.use(dialect === 'postgres' ? await postgresServer('secondary') : await cockroachServer()),
      };
      for (const server of Object.values(servers)) await createDatabase(server);
      const httpPort = await reservePort();
      stack.defer(() => releasePort(httpPort));
      const links = {} as Record<Link, TcpProxy>;
      for (const link of LINKS) {
        const side = /primary|source/i.test(link) ? 'primary' : 'secondary';
        const target = link === 'http' ? { port: httpPort } : servers[side].url(DATABASE);
        links[link] = stack.use(await TcpProxy.start(target));
      }
      const cluster = new FaultCluster({ dialect, servers, links, stack, httpPort, options });
      await cluster.#run();
      return cluster;
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
  }

  get streamer(): Program {
    return (this.#programs as { streamer: Program }).streamer;
  }

  get controller(): Program {
    return (this.#programs as { controller: Program }).controller;
  }

  /** Routers of two processes of the application, as it were. */
  get pools(): readonly RouterPool[] {
    return this.#pools;
  }

  /** Past all proxies, as the superuser. */
  url(side: 'primary' | 'secondary', database = DATABASE): string {
    return this.servers[side].url(database);
  }

  /** Past all proxies, as the application's role. */
  applicationUrl(side: 'primary' | 'secondary'): string {
    return this.#asApplication(this.url(side), side);
  }

  /** What happened, and what everybody said last. */
  story(log: readonly string[]): string {
    const said = [...this.#rivals, this.streamer].map((each) => `--- ${each.name}\n${each.tail()}`);
    return [...log, ...said, '--- controller', this.controller.tail(80)].join('\n');
  }

  /** Null when the controller does not answer. */
  async health(): Promise<Health | null> {
    const signal = AbortSignal.timeout(2000);
    const answer = await fetch(`${this.#base}/api/system/db-health`, { signal }).catch(() => null);
    return answer === null ? null : ((await answer.json().catch(() => null)) as Health | null);
  }

  /** Ends when it was carried out or refused, or nobody answers. */
  async order(verb: 'failover' | 'failback'): Promise<string> {
    const headers = { authorization: `Bearer ${TOKEN}` };
    const options = { method: 'POST', headers, signal: AbortSignal.timeout(60_000) };
    const answer = await fetch(`${this.#base}/api/system/${verb}`, options).catch(() => null);
    const body = (await answer?.json().catch(() => null)) as { message?: string } | null;
    return body?.message ?? 'no answer';
  }

  /** All links as if nothing had ever been wrong, all servers up. */
  async heal(): Promise<void> {
    for (const link of Object.values(this.links)) {
      link.onData = undefined;
      link.delayMs = 0;
      link.bytesPerSecond = undefined;
      link.resume();
      link.endDead();
      await link.accept();
    }
    for (const server of Object.values(this.servers)) await server.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pool of this.#pools) void pool.end().catch(() => undefined);
    await this.#stack[Symbol.asyncDispose]();
  }

  get #base(): string {
    return `http://127.0.0.1:${this.#httpPort}`;
  }

  /** Another streamer of the same stream, past all proxies, which waits for its turn. */
  rival(): Program {
    const urls = {
      DATABASE_URL: withoutTls(this.url('primary')),
      DATABASE_URL_SECONDARY: withoutTls(this.url('secondary')),
    };
    const rival = new Program('streamer', this.#options.dist, { ...this.#streaming, ...urls });
    this.#rivals.push(rival);
    return rival;
  }

  /** A command of the program, with the streamer's configuration. @returns what it printed */
  async command(...args: string[]): Promise<string> {
    const program = join(this.#options.dist, 'cli', 'main.js');
    const command = TestProcess.spawn(process.execPath, [program, ...args], { env: this.#streaming });
    const { code } = await command.exit;
    if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${command.output().slice(-600)}`);
    return command.output();
  }

  async #run(): Promise<void> {
    const { dist } = this.#options;
    await query(this.url('primary'), RANDOM_DDL);
    const stateDir = await mkdtemp(join(tmpdir(), 'db-redundancy-faults-'));
    this.#stack.defer(() => rm(stateDir, { recursive: true, force: true }));
    const env = {
      DB_SYNC_TABLES: RANDOM_TABLES.join(','),
      DB_SYNC_INTERVAL_MS: '4000',
      DB_VERIFY_INTERVAL_MS: '15000',
      DB_HEALTH_CHECK_INTERVAL_MS: PROBE_MS[this.dialect],
      DB_HEALTH_SUSPECT_INTERVAL_MS: '500',
      DB_HEALTH_TIMEOUT_MS: PROBE_MS[this.dialect],
      DB_COOLDOWN_MS: '2000',
      DB_FAILBACK_DRAIN_TIMEOUT_MS: '15000',
      DB_CONTROL_TOKEN: TOKEN,
      DB_STATE_DIR: stateDir,
      DB_HTTP_HOST: '127.0.0.1',
      LOG_LEVEL: 'info',
      ...this.#options.env,
    };
    this.#streaming = { ...env, ...this.#databases('source', 'target'), DB_HTTP_PORT: '0' };
    const streamer = new Program('streamer', dist, this.#streaming);
    this.#stack.defer(() => streamer[Symbol.asyncDispose]());
    const waiting = async () => {
      const rows = await query<{ state: string }>(this.url('secondary'), 'SELECT state FROM db_redundancy.tables');
      return rows.length === RANDOM_TABLES.length && rows.every(({ state }) => state === 'streaming');
    };
    await waitFor(waiting, { what: 'the first load', timeoutMs: 40_000 }).catch((error: unknown) => {
      throw new Error([String(error), ...streamer.failures.slice(0, 2), streamer.tail()].join('\n'));
    });
    await this.#grant();
    const controller = new Program('controller', dist, {
      ...env,
      ...this.#databases('controlPrimary', 'controlSecondary'),
      DB_HTTP_PORT: String(this.#httpPort),
    });
    this.#programs = { streamer, controller };
    this.#stack.defer(() => controller[Symbol.asyncDispose]());
    await waitFor(async () => (await this.health())?.state === 'PRIMARY_ACTIVE', {
      what: 'the controller leads',
      timeoutMs: 60_000,
    });
    this.#pools = Array.from({ length: ROUTERS }, (_, router) => this.#pool(`app-${router}`));
  }

  #databases(primary: Link, secondary: Link): Record<string, string> {
    return {
      DATABASE_URL: this.#through(primary, this.url('primary')),
      DATABASE_URL_SECONDARY: this.#through(secondary, this.url('secondary')),
    };
  }

  #through(link: Link, url: string): string {
    return withoutTls(this.links[link].url(url));
  }

  #asApplication(url: string, side: 'primary' | 'secondary'): string {
    const parsed = new URL(url);
    parsed.username = ROLE;
    parsed.password = side === 'primary' || this.dialect === 'postgres' ? ROLE : '';
    return parsed.href;
  }

  #pool(name: string): RouterPool {
    const asApplication = (link: Link, side: 'primary' | 'secondary') => {
      const url = this.#asApplication(this.#through(link, this.url(side)), side);
      return { connectionString: url, max: 4, connectionTimeoutMillis: 3000, idleTimeoutMillis: 5000 };
    };
    const pool = new RouterPool({
      primary: asApplication('routerPrimary', 'primary'),
      secondary: asApplication('routerSecondary', 'secondary'),
      controllerUrl: `http://127.0.0.1:${this.links.http.port}`,
      token: TOKEN,
      name,
      holdTimeoutMs: 5000,
      ...(this.#options.onAuthorityLost ? { onAuthorityLost: this.#options.onAuthorityLost } : {}),
    });
    pool.on('error', () => undefined);
    return pool;
  }

  async #grant(): Promise<void> {
    const tables = RANDOM_TABLES.join(', ');
    const postgres = `CREATE ROLE ${ROLE} LOGIN PASSWORD '${ROLE}'; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO ${ROLE}`;
    const cockroach = `CREATE ROLE ${ROLE} LOGIN`;
    const rights = `GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ${tables} TO ${ROLE}`;
    await query(this.url('primary'), `${postgres}; ${rights}`);
    await query(this.url('secondary'), this.dialect === 'postgres' ? postgres : cockroach);
    await query(this.url('secondary'), rights);
    if (this.dialect === 'cockroach') {
      const sequences = await query<{ name: string }>(
        this.url('secondary'),
        `SELECT quote_ident(sequence_name) AS name FROM information_schema.sequences WHERE sequence_schema = 'public'`,
      );
      for (const { name } of sequences) {
        await query(this.url('secondary'), `GRANT UPDATE, SELECT ON TABLE ${name} TO ${ROLE}`);
      }
    }
  }
}

function withoutTls(url: string): string {
  const parsed = new URL(url);
  parsed.searchParams.set('sslmode', 'disable');
  return parsed.href;
}

/** Closes in reverse order. */
class Closers implements AsyncDisposable {
  readonly #closers: (() => unknown)[] = [];

  use<T extends AsyncDisposable>(resource: T): T {
    this.defer(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  defer(close: () => unknown): void {
    this.#closers.push(close);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

async function createDatabase(server: Server): Promise<void> {
  await query(server.url(server instanceof PostgresServer ? 'postgres' : 'defaultdb'), `CREATE DATABASE ${DATABASE}`);
}

class PostgresServer implements Server {
  readonly #server: EmbeddedServer;

  constructor(server: EmbeddedServer) {
    this.#server = server;
  }

  url(database: string): string {
    return this.#server.url(database);
  }

  kill(): Promise<void> {
    return this.#server.kill();
  }

  stop(mode: 'fast' | 'immediate'): Promise<void> {
    return this.#server.stop(mode);
  }

  async start(): Promise<void> {
    if (!this.#server.running) await this.#server.startAgain();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.close();
  }
}

/** What the kernel has been given survives the death of the server's processes, and nobody cuts the power. */
async function postgresServer(name: string): Promise<Server> {
  const settings = { fsync: 'off', max_connections: '60', wal_sender_timeout: '5s' };
  return new PostgresServer(await EmbeddedServer.start({ name, settings }));
}

async function cockroachServer(): Promise<Server> {
  const found = await detectCockroach();
  if (found.kind !== 'binary') throw new Error('The fault tests need a cockroach program, which they kill.');
  const server = await DiskCockroach.start(found.path);
  await query(server.url(), 'SET CLUSTER SETTING kv.rangefeed.enabled = true');
  const again = async () => {
    await server.killAndRestart();
    await server.answers();
  };
  return {
    url: (database) => server.url(database),
    kill: again,
    stop: again,
    start: () => server.answers(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
