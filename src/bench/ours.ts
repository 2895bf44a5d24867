/** The streamer as users run it: a process of its own, with a stream of the benchmark's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { RedundancyError } from '../core/errors.js';
import { quoteIdent } from '../core/ident.js';
import { NODE_FLAGS } from '../core/node-flags.js';
import { releasePort, reservePort } from '../demo/free-port.js';
import { LogTail } from '../demo/log-tail.js';
import { Watchdog } from '../demo/watchdog.js';
import type { BenchContext, Replication } from './context.js';
import type { BenchDatabase } from './database.js';
import { cpuSeconds, type Memory, memoryOf } from './process-cost.js';
import { SCHEMA } from './rows.js';
import { until } from './wait.js';

/** Name of stream, slot and publication. */
export const STREAM = 'db_redundancy_bench';
const STOP_MS = 12_000;
const VERIFIED_SQL = `SELECT count(*) FROM db_redundancy.reconcile WHERE stream = $1 AND kind = 'verify'`;

export interface OursOptions {
  /** In the benchmark's schema. */
  readonly tables: readonly string[];
  /** The context's own by default. */
  readonly secondary?: BenchDatabase;
  /** Another way to that database: through a relay. */
  readonly secondaryUrl?: string;
  /** Not to wait for the first verify: where the time is taken from the start on. */
  readonly unverified?: boolean;
  /** Called as soon as the process runs, before it streams. */
  readonly onStart?: (pid: number) => void;
}

export class Ours implements Replication {
  readonly pid: number;
  readonly #context: BenchContext;
  readonly #secondary: BenchDatabase;
  readonly #process: ChildProcess;
  readonly #watchdog: Watchdog;
  readonly #port: number;
  readonly #log = new LogTail();
  #ended = false;

  private constructor(context: BenchContext, secondary: BenchDatabase, child: ChildProcess, port: number) {
    this.#context = context;
    this.#secondary = secondary;
    this.#process = child;
    this.#port = port;
    this.pid = child.pid ?? 0;
    this.#watchdog = new Watchdog({ pid: this.pid, signal: 'TERM' });
    for (const stream of [child.stdout, child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => this.#log.add(text));
    child.once('exit', () => {
      this.#ended = true;
    });
  }

  /**
   * Resolves when every table streams and was verified for the first time: the next one is a day away, and the tables'
   * rows, read in the middle of a workload, would count as replication. Options of this process's own Node (--cpu-prof)
   * hold for it, too.
   */
  static async start(context: BenchContext, options: OursOptions): Promise<Ours> {
    const { secondary = context.secondary, tables } = options;
    const port = await reservePort();
    const child = spawn(process.execPath, [...NODE_FLAGS, ...process.execArgv, context.program, 'streamer'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: context.path,
        DATABASE_URL: context.primary.url,
        DATABASE_URL_SECONDARY: options.secondaryUrl ?? secondary.url,
        DB_SYNC_TABLES: tables.map((table) => `${SCHEMA}.${table}`).join(','),
        DB_STREAM_NAME: STREAM,
        DB_HTTP_PORT: String(port),
        LOG_LEVEL: 'warn',
      },
    });
    await Promise.race([once(child, 'spawn'), once(child, 'error').then(([error]) => Promise.reject(error))]);
    const ours = new Ours(context, secondary, child, port);
    options.onStart?.(ours.pid);
    try {
      await until(() => ours.#streams(tables.length), {
        what: 'the streamer streams every table',
        signal: context.signal,
        everyMs: 10,
      });
      if (!options.unverified)
        await until(
          async () => ours.#runs() && Number(await secondary.value(VERIFIED_SQL, [STREAM])) >= tables.length,
          {
            what: 'the streamer has verified every table',
            signal: context.signal,
          },
        );
      return ours;
    } catch (error) {
      await ours.stop();
      throw error;
    }
  }

  cpu(): Promise<number | null> {
    return cpuSeconds(this.pid);
  }

  memory(): Promise<Memory | null> {
    return memoryOf(this.pid);
  }

  async stop(): Promise<void> {
    const memory = this.#ended ? null : await this.memory();
    if (memory) this.#context.peaks.push({ workload: this.#context.workload, bytes: memory.peakBytes });
    if (!this.#ended) {
      this.#process.kill('SIGTERM');
      const late = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS);
      if (!this.#ended) await once(this.#process, 'exit');
      clearTimeout(late);
    }
    this.#watchdog.release();
    releasePort(this.#port);
    await forgetStream(this.#context.primary, this.#secondary);
  }

  /** @throws RedundancyError when it has ended by itself */
  #runs(): true {
    if (this.#ended) {
      throw new RedundancyError(`The streamer has ended while the benchmark ran:\n${this.#log.text()}`, {
        code: 'bench-streamer',
        remedy: 'Mend what it names; db:doctor checks both sides.',
      });
    }
    return true;
  }

  async #streams(expected: number): Promise<boolean> {
    this.#runs();
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/system/replication-lag`).catch(() => null);
    if (response === null) return false;
    const { status, tables } = (await response.json()) as { status?: string; tables?: { streaming?: number } };
    return status === 'streaming' && tables?.streaming === expected;
  }
}

/** Slot and publication on the primary, and every row of the stream in the metadata of the secondary. */
export async function forgetStream(primary: BenchDatabase, secondary: BenchDatabase): Promise<void> {
  // The walsender may outlive its client by a moment.
  await primary.client.query(
    `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`,
    [STREAM],
  );
  await until(async () => (await primary.value(ACTIVE_SQL, [STREAM])) !== 'true', {
    what: 'the slot is free',
    signal: AbortSignal.timeout(30_000),
  });
  await primary.client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`,
    [STREAM],
  );
  await primary.run(`DROP PUBLICATION IF EXISTS ${quoteIdent(STREAM)}`);
  const { rows } = await secondary.client.query<{ name: string }>(
    `SELECT c.table_name AS name FROM information_schema.columns c
     JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
     WHERE c.table_schema = 'db_redundancy' AND c.column_name = 'stream' AND t.table_type = 'BASE TABLE'`,
  );
  for (const { name } of rows)
    await secondary.client.query(`DELETE FROM db_redundancy.${quoteIdent(name)} WHERE stream = $1`, [STREAM]);
}

const ACTIVE_SQL = 'SELECT active::text FROM pg_replication_slots WHERE slot_name = $1';
