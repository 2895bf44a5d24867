/**
 * PostgreSQL 18 servers that live as long as an object: for the demo, and for tests that need real databases. Each has
 * its own data directory, port and password, listens on 127.0.0.1 only, and is gone with everything it wrote when it
 * is closed or when this process ends, however it ends.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { RedundancyError } from '../core/errors.js';
import { quoteIdent } from '../core/ident.js';
import type { EmbeddedBinaries } from './embedded-binaries.js';
import { discard, type Home, prepare } from './embedded-home.js';
import { releasePort, reservePort } from './free-port.js';
import { LogTail } from './log-tail.js';
import { PortTakenError, Postmaster, type StopMode } from './postmaster.js';
import { signal } from './processes.js';

const PORT_ATTEMPTS = 10;

export interface EmbeddedOptions {
  /** Server settings by name, over the defaults below; `fsync: 'off'` for throw-away servers. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Default: a free one, which the server keeps over restarts. */
  readonly port?: number;
  /** Kept on `close()` and used again by a later start. Default: a temporary folder, removed on `close()`. */
  readonly dataDir?: string;
  /** For messages and the process list; default `postgres`. */
  readonly name?: string;
  /** Default: what `locateBinaries()` finds. */
  readonly binaries?: EmbeddedBinaries;
}

const running = new Set<EmbeddedServer>();

/** Only for a process that ends without closing its servers; the watchdog of each removes its folder afterwards. */
function stopAllAtExit(): void {
  for (const server of running) if (server.pid !== undefined) signal(server.pid, 'SIGQUIT');
}

export class EmbeddedServer implements AsyncDisposable {
  readonly #home: Home;
  readonly #log: LogTail;
  readonly #port: number;
  #postmaster: Postmaster;
  #closing: Promise<void> | undefined;

  private constructor(home: Home, log: LogTail, port: number, postmaster: Postmaster) {
    this.#home = home;
    this.#log = log;
    this.#port = port;
    this.#postmaster = postmaster;
    if (running.size === 0) process.once('exit', stopAllAtExit);
    running.add(this);
  }

  /** Resolves when the server accepts connections. @throws ConfigurationError, RedundancyError with its log. */
  static async start(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
    const log = new LogTail();
    const home = await prepare(options);
    try {
      const [postmaster, port] = await launch(home, log, options.port);
      return new EmbeddedServer(home, log, port, postmaster);
    } catch (error) {
      await discard(home);
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  /** Of the postmaster; undefined while the server is stopped. */
  get pid(): number | undefined {
    return this.#postmaster.running ? this.#postmaster.pid : undefined;
  }

  get running(): boolean {
    return this.#postmaster.running;
  }

  get dataDir(): string {
    return this.#home.dataDir;
  }

  /** Connection string of the superuser `postgres`, password included. */
  url(database = 'postgres'): string {
    return `postgresql://postgres:${this.#home.password}@127.0.0.1:${this.#port}/${encodeURIComponent(database)}`;
  }

  /** The last 200 lines of the server's log. */
  logs(): string[] {
    return this.#log.lines();
  }

  /**
   * `smart` waits for sessions to end, `fast` ends them and writes a checkpoint, `immediate` leaves recovery to the next
   * start. Does nothing when the server is stopped. @throws RedundancyError `embedded-stop` after `timeoutMs`.
   */
  async stop(mode: StopMode = 'fast', timeoutMs = 60_000): Promise<void> {
    if (this.running) await this.#postmaster.stop(mode, timeoutMs);
  }

  /** SIGKILL to all of the server's processes; resolves when `startAgain` can follow. */
  async kill(): Promise<void> {
    if (this.running) await this.#postmaster.kill();
  }

  /** At the same port, with the same data, after `stop` or `kill`. */
  async startAgain(): Promise<void> {
    if (this.#closing !== undefined || this.running) {
      throw new RedundancyError(`The embedded server ${this.#home.name} is ${this.running ? 'running' : 'closed'}.`, {
        code: 'embedded-start',
        remedy: 'Call startAgain() after stop() or kill(), before close().',
      });
    }
    [this.#postmaster] = await launch(this.#home, this.#log, this.#port);
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.startAgain();
  }

  /** @returns the connection string of the new database. */
  async createDatabase(name: string): Promise<string> {
    const client = new Client({ connectionString: this.url() });
    client.on('error', () => undefined);
    await client.connect();
    try {
      await client.query(`CREATE DATABASE ${quoteIdent(name)}`);
    } finally {
      await client.end();
    }
    return this.url(name);
  }

  /** Stops the server and removes its temporary folder. May be called more than once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    try {
      // What is thrown away needs no checkpoint.
      await this.stop(this.#home.temporary === undefined ? 'fast' : 'immediate', 15_000).catch(() => this.kill());
    } finally {
      running.delete(this);
      if (running.size === 0) process.off('exit', stopAllAtExit);
      releasePort(this.#port);
      await discard(this.#home);
    }
  }
}

async function launch(home: Home, log: LogTail, wanted: number | undefined): Promise<[Postmaster, number]> {
  for (let attempt = 1; ; attempt += 1) {
    const port = wanted ?? (await reservePort());
    try {
      return [await Postmaster.launch({ ...home, port, log }), port];
    } catch (error) {
      if (wanted === undefined) releasePort(port);
      if (!(error instanceof PortTakenError) || attempt === PORT_ATTEMPTS) throw error;
      // Another free one at once; a given one may be held by a connection that is just ending.
      if (wanted !== undefined) await sleep(100);
    }
  }
}
