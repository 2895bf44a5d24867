/** The opponent: PostgreSQL's own subscription between the same two servers. */
import { quoteIdent, quoteLiteral } from '../core/ident.js';
import type { BenchContext, Replication } from './context.js';
import { cpuSeconds } from './process-cost.js';
import { SCHEMA } from './rows.js';
import { until } from './wait.js';

const NAME = 'db_redundancy_bench_native';

export interface NativeOptions {
  /** What a subscription does with a transaction that is still running on the primary; off by default. */
  readonly streaming?: 'off' | 'parallel';
  /** Values in binary, as ours has them; false by default, as it is for a subscription. */
  readonly binary?: boolean;
}

export class Native implements Replication {
  readonly #context: BenchContext;

  private constructor(context: BenchContext) {
    this.#context = context;
  }

  /** Resolves when the subscription is connected; the tables must be there, and equal. */
  static async start(context: BenchContext, tables: readonly string[], options: NativeOptions = {}): Promise<Native> {
    const { binary = false, streaming = 'off' } = options;
    const { primary, secondary, signal } = context;
    const native = new Native(context);
    try {
      const list = tables.map((table) => `${SCHEMA}.${quoteIdent(table)}`).join(', ');
      await primary.run(`CREATE PUBLICATION ${NAME} FOR TABLE ${list}`);
      await secondary.run(
        `CREATE SUBSCRIPTION ${NAME} CONNECTION ${quoteLiteral(primary.url)} PUBLICATION ${NAME} WITH (copy_data = false, streaming = ${streaming}, binary = ${binary})`,
      );
      await until(
        async () =>
          (await primary.value('SELECT active::text FROM pg_replication_slots WHERE slot_name = $1', [NAME])) ===
          'true',
        { what: 'the native subscription is connected', signal, timeoutMs: 60_000 },
      );
      return native;
    } catch (error) {
      await native.stop();
      throw error;
    }
  }

  /** Of the apply worker and its helpers. */
  async cpu(): Promise<number | null> {
    if (!this.#context.embedded) return null;
    const { rows } = await this.#context.secondary.client.query<{ pid: number }>(
      'SELECT pid FROM pg_stat_subscription WHERE subname = $1 AND pid IS NOT NULL',
      [NAME],
    );
    const seconds = await Promise.all(rows.map(({ pid }) => cpuSeconds(pid)));
    return seconds.reduce<number>((sum, each) => sum + (each ?? 0), 0);
  }

  async stop(): Promise<void> {
    await forgetNative(this.#context);
  }
}

/** Whether the two servers can have one, found by having one. @returns why not; null: they can. */
export async function nativeRefusal(context: Omit<BenchContext, 'nativeRefused'>): Promise<string | null> {
  const { primary, secondary } = context;
  if (secondary.isCockroach) return 'the secondary is a CockroachDB, which has no native subscription';
  const system = 'SELECT system_identifier::text FROM pg_control_system()';
  const [one, other] = await Promise.all([primary, secondary].map((each) => each.value(system).catch(() => null)));
  if (one !== null && one === other)
    return 'both databases are on one server, where a native subscription waits for itself';
  const table = `${SCHEMA}.probe_native`;
  try {
    for (const side of [primary, secondary]) {
      await side.run(`CREATE SCHEMA IF NOT EXISTS ${SCHEMA}`);
      await side.run(`CREATE TABLE IF NOT EXISTS ${table} (id int PRIMARY KEY)`);
    }
    await secondary.run(`SET statement_timeout = '20s'`);
    const native = await Native.start({ ...context, nativeRefused: null }, ['probe_native']);
    await native.stop();
    return null;
  } catch (error) {
    if (context.signal.aborted) throw error;
    return `a native subscription between the two servers cannot be made: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await secondary.run('RESET statement_timeout');
  }
}

export async function forgetNative({ primary, secondary }: Pick<BenchContext, 'primary' | 'secondary'>): Promise<void> {
  if ((await secondary.value('SELECT 1 FROM pg_subscription WHERE subname = $1', [NAME])) !== null) {
    await secondary.run(`ALTER SUBSCRIPTION ${NAME} DISABLE`);
    await secondary.run(`DROP SUBSCRIPTION ${NAME}`);
  }
  await primary.run(`DROP PUBLICATION IF EXISTS ${NAME}`);
}
