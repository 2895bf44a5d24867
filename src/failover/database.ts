/**
 * One connection of the controller to one side. Every call has a deadline: a server that hangs must look like one that
 * refuses, and a decision must not wait for ever. A connection that failed is thrown away; the next call opens another.
 * Values are text, as everywhere.
 */
import pg, { type ClientConfig } from 'pg';
import { type DialectName, dialectOf } from '../apply/dialect.js';
import type { Clock } from '../core/clock.js';
import { READ_ONLY } from '../core/policy.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import type { Side } from '../core/route.js';
import { socketOf } from '../core/socket-of.js';
import { OWN_APPLICATION, WRITER_SQL } from '../core/writer.js';

export type TextRow = Record<string, string | null>;

const GOODBYE_MS = 500;

class DeadlineError extends Error {
  constructor(side: Side, ms: number) {
    super(`The ${side} has not answered within ${ms} ms`);
    this.name = 'DeadlineError';
  }
}

export interface Session {
  readonly dialect: DialectName;
  run(text: string, values?: readonly (string | null)[]): Promise<TextRow[]>;
}

interface Open extends Session {
  readonly client: pg.Client;
  broken: boolean;
}

export interface DatabaseOptions {
  readonly side: Side;
  readonly config: ClientConfig;
  readonly clock: Clock;
  /** Shown in the server's list of sessions; begins with the name that fences spare. */
  readonly purpose: string;
  /** Told of each statement that is sent. */
  readonly onStatement?: (text: string) => void;
}

export class Database {
  readonly side: Side;
  readonly #options: DatabaseOptions;
  #open: Open | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: DatabaseOptions) {
    this.side = options.side;
    this.#options = options;
  }

  /** One call after the other; the deadline counts from when its turn comes. */
  use<T>(deadlineMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#attempt(deadlineMs, work));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  run(text: string, values: readonly (string | null)[], deadlineMs: number): Promise<TextRow[]> {
    return this.use(deadlineMs, (session) => session.run(text, values));
  }

  /** A transaction; rolled back when `work` rejects. */
  transaction<T>(deadlineMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    return this.use(deadlineMs, async (session) => {
      await session.run('BEGIN');
      try {
        const result = await work(session);
        await session.run('COMMIT');
        return result;
      } catch (error) {
        await session.run('ROLLBACK').catch(() => this.#discard());
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#turn.catch(() => undefined);
    const open = this.#open;
    this.#open = null;
    if (!open) return;
    // A network that swallows everything swallows the goodbye too.
    const cut = this.#options.clock.setTimer(GOODBYE_MS, () => destroy(open.client));
    await open.client.end().catch(() => undefined);
    cut.cancel();
  }

  async #attempt<T>(deadlineMs: number, work: (session: Session) => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    let late: ((error: Error) => void) | null = null;
    const deadline = new Promise<never>((_, reject) => {
      late = reject;
    });
    deadline.catch(() => undefined);
    const opening = { client: null as pg.Client | null };
    const timer = clock.setTimer(deadlineMs, () => {
      destroy(opening.client);
      this.#discard();
      late?.(new DeadlineError(this.side, deadlineMs));
    });
    try {
      const task = this.#connected(opening).then(work);
      // The deadline may win; what the task says afterwards is nobody's.
      task.catch(() => undefined);
      return await Promise.race([task, deadline]);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === undefined || code === READ_ONLY || this.#open?.broken) this.#discard();
      throw error;
    } finally {
      timer.cancel();
    }
  }

  async #connected(opening: { client: pg.Client | null }): Promise<Open> {
    if (this.#open && !this.#open.broken) return this.#open;
    this.#discard();
    const client = new pg.Client({
      ...this.#options.config,
      application_name: `${OWN_APPLICATION} ${this.#options.purpose}`,
      keepAlive: true,
      types: RAW_TEXT_TYPES,
    } as ClientConfig);
    opening.client = client;
    client.on('error', () => {
      if (this.#open?.client === client) this.#open.broken = true;
    });
    await client.connect();
    const { rows } = await client.query<{ version: string }>('SELECT version() AS version');
    const dialect = dialectOf(rows[0]?.version ?? '').name;
    if (dialect === 'postgres') await client.query(`SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; ${WRITER_SQL}`);
    else await client.query(`SET timezone = 'UTC'`);
    const open: Open = {
      client,
      dialect,
      broken: false,
      run: async (text, values = []) => {
        this.#options.onStatement?.(text);
        const result = await client.query<TextRow>(values.length > 0 ? { text, values: [...values] } : text);
        // Several statements in one text give several results; the last counts.
        return (Array.isArray(result) ? (result.at(-1) as typeof result) : result).rows;
      },
    };
    this.#open = open;
    return open;
  }

  #discard(): void {
    destroy(this.#open?.client ?? null);
    this.#open = null;
  }
}

function destroy(client: pg.Client | null): void {
  if (!client) return;
  socketOf(client).destroy();
  client.end().catch(() => undefined);
}
