/** Clients that write on the primary beside a replication: a process of its own, and what it says. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { RedundancyError } from '../core/errors.js';
import { LogTail } from '../demo/log-tail.js';
import type { BenchContext } from './context.js';
import type { BenchDatabase } from './database.js';
import type { MixAnswer, MixOrder } from './mix-clients.js';

type Place = Pick<BenchContext, 'program' | 'signal'> & { readonly primary: Pick<BenchDatabase, 'url'> };

export class MixClients {
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal;
  readonly #ended: Promise<MixAnswer>;

  private constructor(child: ChildProcess, signal: AbortSignal) {
    this.#child = child;
    this.#signal = signal;
    const log = new LogTail();
    child.stderr?.setEncoding('utf8').on('data', (text: string) => log.add(text));
    this.#ended = new Promise((resolve) => {
      const failed = (how: string) => {
        const message = `The benchmark's clients have ended (${how}).`;
        const remedy = 'Run the benchmark again; if it happens again, please report it.';
        resolve({ kind: 'failed', message: [message, ...log.lines()].join('\n'), remedy });
      };
      child.once('close', (code, name) => failed(name ?? `exit code ${code}`));
      child.on('error', ({ message }) => failed(message));
    });
  }

  /** Resolves when every client is connected; the URL goes by the channel, where no other user can read it. */
  static async start({ primary, program, signal }: Place, load: Omit<MixOrder, 'url'>): Promise<MixClients> {
    const { clients, perSecond, seconds } = load;
    const order: MixOrder = { url: primary.url, clients, perSecond, seconds };
    const child = fork(join(dirname(program), '..', 'bench', 'mix-clients.js'), {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const started = new MixClients(child, signal);
    try {
      await started.#tell(order, 'connected');
      return started;
    } catch (error) {
      await started.stop();
      throw error;
    }
  }

  /** @returns transactions committed, after all of the time */
  async write(): Promise<number> {
    return (await this.#tell('begin', 'written')).transactions;
  }

  /** Also in the middle of their work, whose rows nobody counts then. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  async #tell<K extends MixAnswer['kind']>(
    word: MixOrder | 'begin',
    expected: K,
  ): Promise<Extract<MixAnswer, { kind: K }>> {
    this.#signal.throwIfAborted();
    const heard = new AbortController();
    try {
      const answer = once(this.#child, 'message', { signal: AbortSignal.any([this.#signal, heard.signal]) });
      // One that is gone says so by its end.
      this.#child.send(word, () => undefined);
      const found = await Promise.race([this.#ended, answer.then(([message]) => message as MixAnswer)]);
      if (found.kind === expected) return found as Extract<MixAnswer, { kind: K }>;
      const { message, remedy } = found as Extract<MixAnswer, { kind: 'failed' }>;
      throw new RedundancyError(message, { code: 'bench-clients', remedy });
    } catch (error) {
      // A Ctrl-C of the terminal ends the clients as well.
      this.#signal.throwIfAborted();
      throw error;
    } finally {
      heard.abort();
    }
  }
}
