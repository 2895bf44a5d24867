/**
 * The machine, the rhythm of its probes and the guards on a clock that stands still until it is moved: what the
 * controller does between databases, without any. Steps succeed at once unless a test says otherwise.
 */
import type { Guard } from '../../src/core/failover.js';
import { failbackGuards, failoverGuards, refusals } from '../../src/failover/guards.js';
import { HealthRounds, type Pace } from '../../src/failover/health.js';
import { initialState, step } from '../../src/failover/machine.js';
import type { Effect, Event, MachineState, Step } from '../../src/failover/machine-types.js';
import { FakeClock } from '../harness/fake-clock.js';

export type Answer = 'ok' | 'refuses' | 'hangs';

export interface SimulationOptions {
  readonly intervalMs?: number;
  readonly suspectIntervalMs?: number;
  readonly cooldownMs?: number;
  readonly auto?: boolean;
}

export const TIMEOUT_MS = 5000;

export class Simulation {
  readonly clock = new FakeClock();
  readonly entered: string[] = [];
  readonly alerts: string[] = [];
  readonly steps: Step[] = [];
  readonly probedAt: number[] = [];
  state: MachineState = initialState();
  primary: Answer = 'ok';
  secondary: Answer = 'ok';
  paused = false;
  lagMs: number | null = 0;
  routersStillWriting: string[] = [];
  /** Steps that do not end by themselves. */
  readonly stuck = new Set<Step>();
  failing: Step | null = null;
  lastGuards: Guard[] = [];
  #cooldownFromMs: number | null = null;
  readonly #options: Required<SimulationOptions>;
  readonly #abort = new AbortController();
  readonly #rounds: HealthRounds;
  #running: Promise<void> | null = null;

  constructor(options: SimulationOptions = {}) {
    const { auto = true, cooldownMs = 600_000, intervalMs = 30_000, suspectIntervalMs = 30_000 } = options;
    this.#options = { auto, cooldownMs, intervalMs, suspectIntervalMs };
    this.#rounds = new HealthRounds(this.clock, { intervalMs, suspectIntervalMs }, () => this.#round());
  }

  start(): this {
    this.#running = this.#rounds.run(this.#abort.signal);
    return this;
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('done'));
    await this.#running;
  }

  /** Lets so many rounds of steady probes pass. */
  async rounds(n: number): Promise<void> {
    const until = this.probedAt.length + n;
    while (this.probedAt.length < until) await this.clock.advance(500);
    await this.clock.advance(TIMEOUT_MS);
  }

  /** Changes of the active side that came to their end. */
  get flips(): string[] {
    return this.entered.filter(
      (entry, i) => /_ACTIVE.*open$/.test(entry) && (this.entered[i - 1] ?? '').endsWith('hold'),
    );
  }

  handle(event: Event): void {
    const outcome = step(this.state, event, { failover: 3, failback: 5 });
    this.state = outcome.state;
    for (const effect of outcome.effects) this.#perform(effect);
  }

  async #round(): Promise<Pace> {
    this.probedAt.push(this.clock.monotonic());
    const [primary, secondary] = await Promise.all([this.#probe(this.primary), this.#probe(this.secondary)]);
    this.handle({ kind: 'probed', primary, secondary, atMs: this.clock.now() });
    if (this.state.state === 'RECOVERING') this.handle({ kind: 'progressed', ready: true });
    return this.state.primaryFailures > 0 || this.state.secondaryFailures > 0 ? 'suspect' : 'steady';
  }

  async #probe(answer: Answer): Promise<boolean> {
    if (answer === 'hangs') await this.clock.sleep(TIMEOUT_MS);
    return answer === 'ok';
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case 'enter':
        this.entered.push(`${effect.state}/${effect.active}/${effect.phase}`);
        if (effect.phase === 'open' && this.entered.at(-2)?.endsWith('hold')) this.#cooldownFromMs = this.clock.now();
        return;
      case 'step':
        this.steps.push(effect.step);
        if (this.stuck.has(effect.step)) return;
        if (this.failing === effect.step) this.handle({ kind: 'failed', step: effect.step, reason: 'it failed' });
        else this.handle({ kind: 'done', step: effect.step });
        return;
      case 'judge':
        this.#judge(effect.what);
        return;
      case 'alert':
        this.alerts.push(effect.text);
        return;
      default:
    }
  }

  #judge(what: 'failover' | 'failback'): void {
    const { auto, cooldownMs } = this.#options;
    const common = {
      nowMs: this.clock.now(),
      cooldownFromMs: this.#cooldownFromMs,
      cooldownMs,
      paused: this.paused,
      auto,
      maxLagMs: 300_000,
    };
    this.lastGuards =
      what === 'failover'
        ? failoverGuards(
            {
              ...common,
              secondaryError: this.secondary === 'ok' ? null : this.secondary,
              primaryReachable: this.primary === 'ok',
              lagMs: this.lagMs,
              incompleteTables: [],
              pausedTables: [],
              routersStillWriting: this.routersStillWriting,
            },
            false,
          )
        : failbackGuards(
            {
              ...common,
              primarySuccesses: this.state.primarySuccesses,
              threshold: 5,
              progress: {
                phase: 'copying',
                tailMerged: true,
                lagMs: 0,
                touchedKeys: 0,
                copiedKeys: 0,
                conflicts: 0,
                trouble: null,
              },
            },
            false,
          );
    const refused = refusals(this.lastGuards, null);
    this.handle({
      kind: 'judged',
      ok: refused.length === 0,
      refusals: refused.map((guard) => guard.name).join(', '),
    });
  }
}
