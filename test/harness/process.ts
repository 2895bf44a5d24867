/** Programs as children of a test: our command line above all. None outlives its test, nor the test's process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { NODE_FLAGS } from '../../src/core/node-flags.js';
import { Watchdog } from '../../src/demo/watchdog.js';
import { ask } from './broker.js';

export interface SpawnOptions {
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

export interface Exit {
  /** Null when a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface OutputLine {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

interface Waiter {
  readonly pattern: RegExp;
  readonly stream: OutputLine['stream'] | undefined;
  readonly found: (line: string) => void;
  readonly ended: () => void;
}

const RSS_INTERVAL_MS = 100;
const alive = new Set<ChildProcess>();

process.once('exit', () => {
  for (const child of alive) child.kill('SIGKILL');
});

export class TestProcess implements AsyncDisposable {
  readonly lines: OutputLine[] = [];
  /** Resolves when the process has ended and all of its output is in `lines`. Never rejects. */
  readonly exit: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #waiters = new Set<Waiter>();
  #ended: Exit | undefined;
  #peakRss = 0;

  private constructor(child: ChildProcess, command: string) {
    this.#child = child;
    this.#command = command;
    alive.add(child);
    const watchdog = child.pid === undefined ? undefined : new Watchdog({ pid: child.pid, signal: 'KILL' });
    for (const stream of ['stdout', 'stderr'] as const) {
      const source = child[stream];
      if (source !== null) createInterface({ input: source }).on('line', (text) => this.#add({ stream, text }));
    }
    const sampler = setInterval(() => void this.#sample(), RSS_INTERVAL_MS);
    sampler.unref();
    this.exit = new Promise((resolve) => {
      child.once('error', (error) => this.#add({ stream: 'stderr', text: `${command}: ${error.message}` }));
      child.once('exit', () => {
        alive.delete(child);
        watchdog?.release();
      });
      // 'close' comes when the pipes are empty; the last line may be read only then.
      child.once('close', (code, signal) => {
        clearInterval(sampler);
        alive.delete(child);
        setImmediate(() => {
          this.#ended = { code, signal };
          for (const waiter of this.#waiters) waiter.ended();
          resolve(this.#ended);
        });
      });
    });
  }

  static spawn(command: string, args: readonly string[], options: SpawnOptions = {}): TestProcess {
    const child = spawn(command, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new TestProcess(child, [command, ...args].join(' '));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Undefined while the process runs. */
  get ended(): Exit | undefined {
    return this.#ended;
  }

  output(stream?: OutputLine['stream']): string {
    return this.lines
      .filter((line) => stream === undefined || line.stream === stream)
      .map((line) => line.text)
      .join('\n');
  }

  /** The first line that matches, also one that has come already. @throws Error with the output when none comes. */
  waitForLine(pattern: RegExp, options: { timeoutMs?: number; stream?: OutputLine['stream'] } = {}): Promise<string> {
    const { timeoutMs = 20_000, stream } = options;
    const matches = (line: OutputLine) => (stream === undefined || line.stream === stream) && pattern.test(line.text);
    const present = this.lines.find(matches);
    if (present !== undefined) return Promise.resolve(present.text);
    const missed = (why: string) => new Error(`${why} of ${this.#command} matched ${pattern}:\n${this.output()}`);
    if (this.#ended !== undefined) return Promise.reject(missed('No line'));
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        settle();
      };
      const waiter: Waiter = {
        pattern,
        stream,
        found: (line) => finish(() => resolve(line)),
        ended: () => finish(() => reject(missed('No line'))),
      };
      const timer = setTimeout(() => finish(() => reject(missed(`Within ${timeoutMs} ms no line`))), timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  /** @returns false when the process has ended. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    return this.#child.kill(signal);
  }

  /** Highest resident memory so far, in bytes, of the process itself; 0 where there is no /proc. */
  async peakRssBytes(): Promise<number> {
    await this.#sample();
    return this.#peakRss;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exit;
  }

  #add(line: OutputLine): void {
    this.lines.push(line);
    for (const waiter of this.#waiters) {
      const wanted = waiter.stream === undefined || waiter.stream === line.stream;
      if (wanted && waiter.pattern.test(line.text)) waiter.found(line.text);
    }
  }

  /** The kernel keeps the peak itself, so that a rare look misses only what comes after the last one. */
  async #sample(): Promise<void> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '');
    const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kib !== undefined) this.#peakRss = Math.max(this.#peakRss, Number(kib) * 1024);
  }
}

/** Our own command line, compiled first when a source has changed. */
export async function spawnCli(args: readonly string[], options: SpawnOptions = {}): Promise<TestProcess> {
  return TestProcess.spawn(
    process.execPath,
    [...NODE_FLAGS, join(await ask('dist'), 'cli', 'main.js'), ...args],
    options,
  );
}
