/** Runs one step at a time beside the controller's events, tries again what must succeed, and reports how it ended. */
import { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import type { Log } from '../core/log.js';
import type { Event, Step } from './machine-types.js';
import type { Situation } from './steps.js';

export interface StepRunnerParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly situation: () => Situation;
  readonly run: (step: Step, situation: Situation, signal: AbortSignal) => Promise<void>;
  /** Not awaited: the event's handler may begin or cancel steps. */
  readonly report: (event: Event) => Promise<void>;
}

const UNDOING: ReadonlySet<Step> = new Set(['reopen-primary', 'reopen-secondary']);
const CANCELLED = new Error('the step was cancelled');

export class StepRunner {
  readonly #parts: StepRunnerParts;
  readonly #waiting: Step[] = [];
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 5000 });
  #current: { readonly step: Step; readonly abort: AbortController } | null = null;
  #loop: Promise<void> = Promise.resolve();
  #failed: Step | null = null;

  constructor(parts: StepRunnerParts) {
    this.#parts = parts;
  }

  get busy(): boolean {
    return this.#current !== null || this.#waiting.length > 0;
  }

  /** After those that run or wait. One that does already is not begun twice. */
  begin(step: Step): void {
    if (this.#current?.step === step || this.#waiting.includes(step)) return;
    this.#waiting.push(step);
    this.#loop = this.#loop.then(() => this.#next());
  }

  /** Ends what runs and forgets what waits; nothing of it is reported. */
  async cancel(): Promise<void> {
    this.#waiting.length = 0;
    this.#current?.abort.abort(CANCELLED);
    await this.#loop;
  }

  /** An undo that is under way is not begun anew by the reason that began it. */
  async cancelUnlessUndoing(): Promise<void> {
    if (this.#current && UNDOING.has(this.#current.step)) return;
    await this.cancel();
  }

  async #next(): Promise<void> {
    const step = this.#waiting.shift();
    if (step === undefined) return;
    const { clock, log, report, run, situation } = this.#parts;
    const abort = new AbortController();
    this.#current = { step, abort };
    const begunMs = clock.monotonic();
    let event: Event;
    try {
      if (this.#failed === step) await clock.sleep(this.#backoff.next(), abort.signal);
      else this.#backoff.reset();
      await run(step, situation(), abort.signal);
      if (abort.signal.aborted) return;
      this.#failed = null;
      log.info({ step, ms: Math.round(clock.monotonic() - begunMs) }, `Step ${step} is done`);
      event = { kind: 'done', step };
    } catch (error) {
      if (abort.signal.aborted) return;
      this.#failed = step;
      log.warn({ step, err: error }, `Step ${step} failed`);
      event = { kind: 'failed', step, reason: error instanceof Error ? error.message : String(error) };
    } finally {
      this.#current = null;
    }
    void report(event).catch(() => undefined);
  }
}
