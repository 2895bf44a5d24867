/** The built program as a long-running child: `serve` between two databases, and what its HTTP surface says. */
import type { DatabasePair, TestDatabase } from '../../harness/cluster.js';
import { spawnCli, type TestProcess } from '../../harness/process.js';
import { waitFor } from '../../harness/wait.js';

/** The part of the answer of /api/system/replication-lag that the tests look at. */
export interface Lag {
  readonly status: string;
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly appliedLsn: string | null;
  readonly slot: { readonly walStatus: string | null; readonly retainedBytes: number | null } | null;
  readonly tables: { readonly total: number; readonly streaming: number };
  readonly deadLetters: number;
  readonly dropped: number;
}

export type ServeEnvironment = Readonly<Record<string, string | undefined>>;

export function slotOf(database: TestDatabase): string {
  return `dbr_${database.name}`;
}

/** Variables for a stream of its own between the two databases of a pair. */
export function serveEnvironment(
  pair: Pick<DatabasePair, 'primary' | 'secondary'>,
  more: ServeEnvironment = {},
): ServeEnvironment {
  return {
    DATABASE_URL: withoutTls(pair.primary.url),
    DATABASE_URL_SECONDARY: withoutTls(pair.secondary.url),
    DB_REPLICATION_SLOT: slotOf(pair.primary),
    DB_SYNC_TABLES: '*',
    DB_HTTP_HOST: '127.0.0.1',
    DB_HTTP_PORT: '0',
    LOG_LEVEL: 'info',
    ...more,
  };
}

export class Serve implements AsyncDisposable {
  readonly process: TestProcess;
  #base: string | null = null;

  private constructor(process: TestProcess) {
    this.process = process;
  }

  static async start(
    environment: ServeEnvironment,
    command: 'serve' | 'streamer' | 'controller' = 'serve',
  ): Promise<Serve> {
    return new Serve(await spawnCli([command], { env: environment }));
  }

  /** Resolves when the stream is led by this process. */
  async leading(timeoutMs = 30_000): Promise<void> {
    await this.process.waitForLine(/Streaming from slot/, { timeoutMs });
  }

  /** Answer of the lag endpoint. @param query for example `?maxSeconds=1` */
  async lag(query = ''): Promise<{ code: number; body: Lag }> {
    const response = await fetch(`${await this.base()}/api/system/replication-lag${query}`);
    return { code: response.status, body: (await response.json()) as Lag };
  }

  /** Value of a metric, the first with this label; 0 when there is none. @param label for example `mode="awake"` */
  async metric(name: string, label = ''): Promise<number> {
    const text = await (await fetch(`${await this.base()}/metrics`)).text();
    const named = (line: string) => line.startsWith(`${name} `) || line.startsWith(`${name}{`);
    const line = text.split('\n').find((each) => named(each) && each.includes(label));
    return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? 0);
  }

  /** Nothing that the primary has is missing on the secondary, by the stream's own account. */
  async caughtUp(timeoutMs = 60_000): Promise<void> {
    await waitFor(
      async () => {
        const { body } = await this.lag();
        return body.status === 'streaming' && body.lagBytes === 0 && body.lagSeconds === 0;
      },
      { what: 'the stream has caught up', timeoutMs },
    );
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.process.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }

  async base(): Promise<string> {
    const line = await this.process.waitForLine(/HTTP surface listens on/);
    this.#base ??= `http://127.0.0.1:${/listens on \S+:(\d+)/.exec(line)?.[1]}`;
    return this.#base;
  }
}

/** The tests' servers have no certificates; CockroachDB's own URL says so already. */
function withoutTls(url: string): string {
  const parsed = new URL(url);
  parsed.searchParams.set('sslmode', 'disable');
  return parsed.href;
}
