/** One of our long-running programs, started again whenever it ends, as an orchestrator does. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NODE_FLAGS } from '../../../src/core/node-flags.js';
import { type Exit, TestProcess } from '../../harness/process.js';

const RESTART_MS = 200;

export class Program implements AsyncDisposable {
  readonly name: string;
  /** How often it ended in some other way than by a signal: each with what it said last. */
  readonly failures: string[] = [];
  readonly #path: string;
  readonly #env: Readonly<Record<string, string | undefined>>;
  #process: TestProcess;
  #crashAt: string | null = null;
  #stopping = false;
  #watch: Promise<void>;

  /** @param dist folder of the compiled program */
  constructor(name: 'streamer' | 'controller', dist: string, env: Readonly<Record<string, string | undefined>>) {
    this.name = name;
    this.#path = join(dist, 'cli', 'main.js');
    this.#env = env;
    this.#process = this.#spawn();
    this.#watch = this.#keep();
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Its last lines. */
  tail(lines = 40): string {
    return this.#process.output().split('\n').slice(-lines).join('\n');
  }

  /** SIGKILL; it comes back by itself, and then dies once more at `crashAt`, if that is given. */
  async kill(crashAt: string | null = null): Promise<void> {
    this.#crashAt = crashAt;
    const dying = this.#process;
    dying.kill('SIGCONT');
    dying.kill('SIGKILL');
    await dying.exit;
  }

  /** Does not run for so long, and does not know it. */
  async freeze(ms: number): Promise<void> {
    const asleep = this.sleep();
    await sleep(ms);
    asleep.wake();
  }

  /** Does not run until it is woken. */
  sleep(): { wake(): void } {
    const asleep = this.#process;
    asleep.kill('SIGSTOP');
    return { wake: () => asleep.kill('SIGCONT') };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGKILL');
    await this.#watch;
  }

  #spawn(): TestProcess {
    const crash = this.#crashAt === null ? {} : { NODE_ENV: 'test', DB_CRASH_AT: this.#crashAt };
    this.#crashAt = null;
    return TestProcess.spawn(process.execPath, [...NODE_FLAGS, this.#path, this.name], {
      env: { ...this.#env, ...crash },
    });
  }

  async #keep(): Promise<void> {
    while (!this.#stopping) {
      const exit: Exit = await this.#process.exit;
      if (this.#stopping) return;
      if (exit.signal === null) this.failures.push(`${this.name} ended with code ${exit.code}:\n${this.tail(5)}`);
      await sleep(RESTART_MS);
      if (!this.#stopping) this.#process = this.#spawn();
    }
  }
}
