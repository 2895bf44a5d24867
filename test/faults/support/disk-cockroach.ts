/** A CockroachDB with a store on disk, that a test may kill and start again at the same address. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { releasePort, reservePort } from '../../../src/demo/free-port.js';
import { Watchdog } from '../../../src/demo/watchdog.js';
import { TestProcess } from '../../harness/process.js';
import { query } from '../../harness/sql.js';
import { waitFor } from '../../harness/wait.js';

export class DiskCockroach implements AsyncDisposable {
  readonly #path: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #watchdog: Watchdog;
  #server: TestProcess;

  private constructor(path: string, folder: string, port: number) {
    this.#path = path;
    this.#folder = folder;
    this.#port = port;
    this.#watchdog = new Watchdog({ signal: 'KILL', remove: folder });
    this.#server = this.#spawn();
  }

  /** @param path of the program */
  static async start(path: string): Promise<DiskCockroach> {
    const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-crdb-disk-'));
    const cockroach = new DiskCockroach(path, folder, await reservePort());
    try {
      await cockroach.answers();
      return cockroach;
    } catch (error) {
      await cockroach[Symbol.asyncDispose]();
      throw error;
    }
  }

  url(database = 'defaultdb'): string {
    return `postgresql://root@127.0.0.1:${this.#port}/${database}?sslmode=disable`;
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.#server.kill('SIGKILL');
    await this.#server.exit;
  }

  /** On what is on the disk, after `kill`; does not wait for the server to answer. */
  startAgain(): void {
    this.#server = this.#spawn();
  }

  async killAndRestart(): Promise<void> {
    await this.kill();
    this.startAgain();
  }

  async answers(): Promise<void> {
    await waitFor(() => query(this.url(), 'SELECT 1').then((rows) => rows.length === 1), {
      what: 'CockroachDB answers',
      timeoutMs: 60_000,
      fatal: () => this.#server.ended !== undefined,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    releasePort(this.#port);
    await rm(this.#folder, { recursive: true, force: true });
    this.#watchdog.release();
  }

  #spawn(): TestProcess {
    const address = ['--listen-addr', `127.0.0.1:${this.#port}`, '--http-addr', '127.0.0.1:0'];
    const files = ['--store', join(this.#folder, 'store'), '--temp-dir', this.#folder];
    const log = `--log={file-defaults: {dir: ${this.#folder}}, sinks: {stderr: {filter: FATAL}}}`;
    return TestProcess.spawn(this.#path, ['start-single-node', '--insecure', ...address, ...files, log], {
      cwd: this.#folder,
      env: { COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING: 'true' },
    });
  }
}
