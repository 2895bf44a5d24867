/** One run of the `postgres` program: from its start until it accepts connections, to its end in one of four ways. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RedundancyError } from '../core/errors.js';
import type { EmbeddedBinaries, RunUser } from './embedded-binaries.js';
import type { LogTail } from './log-tail.js';
import { killAll, removeSharedMemory, serverProcesses, signal } from './processes.js';
import { unrefStream } from './watchdog.js';

export type StopMode = 'smart' | 'fast' | 'immediate';

const START_TIMEOUT_MS = 60_000;
/** What a server that accepts connections, or only readers, writes into its file. */
const ACCEPTING: ReadonlySet<string> = new Set(['ready', 'standby']);
const SIGNALS = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

export interface LaunchOptions {
  readonly binaries: EmbeddedBinaries;
  readonly user: RunUser | undefined;
  readonly dataDir: string;
  readonly port: number;
  readonly name: string;
  readonly log: LogTail;
}

/** The chosen port was taken between choosing and binding. */
export class PortTakenError extends RedundancyError {}

export class Postmaster {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #options: LaunchOptions;
  readonly #exit: Promise<void>;
  #running = true;

  private constructor(child: ChildProcess, options: LaunchOptions) {
    this.#child = child;
    this.#options = options;
    // -1 when the program could not be spawned at all; `ready` then throws.
    this.pid = child.pid ?? -1;
    this.#exit = new Promise((resolve) => {
      const ended = () => {
        this.#running = false;
        resolve();
      };
      child.once('exit', ended);
      child.once('error', (error) => {
        options.log.add(`${error.message}\n`);
        ended();
      });
    });
    child.stderr?.on('data', (chunk: Buffer) => options.log.add(chunk.toString('utf8')));
  }

  /** Resolves when the server accepts connections. @throws PortTakenError, RedundancyError `embedded-start`. */
  static async launch(options: LaunchOptions): Promise<Postmaster> {
    const { binaries, dataDir, log } = options;
    const since = log.mark();
    const network = [`port=${options.port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
    const child = spawn(binaries.postgres, ['-D', dataDir, ...network.flatMap((setting) => ['-c', setting])], {
      ...options.user,
      cwd: '/',
      env: { LC_ALL: 'C', PATH: '/usr/local/bin:/usr/bin:/bin' },
      // A session of its own: Ctrl-C in the terminal reaches the parent alone, which then ends its servers in order.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const postmaster = new Postmaster(child, options);
    try {
      await postmaster.#ready(since);
    } catch (error) {
      if (postmaster.running) await postmaster.kill();
      throw error;
    }
    // A forgotten server does not keep the program from ending; the 'exit' hook stops it then.
    child.unref();
    unrefStream(child.stderr);
    return postmaster;
  }

  get running(): boolean {
    return this.#running;
  }

  async stop(mode: StopMode, timeoutMs: number): Promise<void> {
    signal(this.pid, SIGNALS[mode]);
    const timer = new AbortController();
    const late = sleep(timeoutMs, 'late', { signal: timer.signal }).catch(() => 'ended');
    const outcome = await Promise.race([this.#exit, late]);
    timer.abort();
    if (outcome === 'late' && this.#running) {
      throw new RedundancyError(
        `The embedded server ${this.#options.name} did not stop (${mode}) within ${timeoutMs} ms.`,
        {
          code: 'embedded-stop',
          remedy: `Close its sessions, or stop it with mode immediate. Its last messages:\n${this.#options.log.text()}`,
        },
      );
    }
  }

  /** As a power failure: no process has a chance to write anything more. */
  async kill(): Promise<void> {
    const { dataDir } = this.#options;
    const segment = await sharedMemoryId(dataDir);
    const find = await serverProcesses(this.pid, dataDir);
    signal(this.pid, 'SIGKILL');
    // The event of an unreferenced child arrives only while something else keeps the loop alive.
    this.#child.ref();
    await killAll(find);
    await this.#exit;
    // By the time of a restart the number may belong to another process, and PostgreSQL would refuse to start.
    await rm(join(dataDir, 'postmaster.pid'), { force: true });
    if (segment !== undefined) await removeSharedMemory(segment);
  }

  async #ready(since: number): Promise<void> {
    const { dataDir, port, name, log } = this.#options;
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (this.#running && Date.now() < deadline) {
      const lines = await pidFile(dataDir);
      // The last line is written when connections are accepted; a file left by a crash names another process.
      if (lines[0] === String(this.pid) && ACCEPTING.has(lines[7] ?? '')) return;
      await sleep(8);
    }
    const messages = log.text(since);
    if (/Address already in use|could not bind/.test(messages)) {
      throw new PortTakenError(`Port ${port} of 127.0.0.1 is in use, so the embedded server ${name} did not start.`, {
        code: 'embedded-port',
        remedy: 'End the program that listens there, or let the server choose its port.',
      });
    }
    const what = this.#running ? `accepted no connection within ${START_TIMEOUT_MS} ms` : 'ended while starting';
    throw new RedundancyError(`The embedded PostgreSQL server ${name} ${what}. Its last messages:\n${messages}`, {
      code: 'embedded-start',
      remedy: 'Mend what the messages name, most often a setting or the space on the disk.',
    });
  }
}

/** Lines of postmaster.pid: pid, data directory, start time, port, socket directory, address, shared memory, status. */
async function pidFile(dataDir: string): Promise<string[]> {
  const text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8').catch(() => '');
  return text.split('\n').map((line) => line.trim());
}

async function sharedMemoryId(dataDir: string): Promise<number | undefined> {
  const [, id] = ((await pidFile(dataDir))[6] ?? '').split(/\s+/);
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
}
