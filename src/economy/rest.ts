/**
 * Decides when the primary is left alone: some time after its last use, if nobody objects; until it is used again, or a
 * visit is due. It knows the time and what it is told, and does nothing else.
 */
import type { Clock, Timer } from '../core/clock.js';
import type { PrimaryRest, RestMode, RestView, Stir } from '../core/economy.js';
import type { Log } from '../core/log.js';

export interface RestOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** After so long without use it rests. */
  readonly idleMs: number;
  /** The longest rest: then the primary is visited. */
  readonly maxMs: number;
  /** A router tells of use here, where another controller leads. */
  readonly onUseElsewhere?: () => void;
}

/** Two reports of one use differ by what they took on the way. */
const SAME_MS = 1000;
/** What routers tell. */
const HEARD: ReadonlySet<Stir> = new Set(['application', 'failure']);
/** An objection is asked about again after so long. */
const RECHECK_MS = 1000;

export class Rest implements PrimaryRest {
  readonly #options: RestOptions;
  readonly #objections: (() => string | null)[] = [];
  readonly #listeners = new Set<(mode: RestMode) => void>();
  #mode: RestMode = 'awake';
  #lastMs: number;
  #sinceMs: number;
  #sinceAt: number;
  #wokenBy: Stir | null = null;
  #rests = 0;
  #restedMs = 0;
  #timer: Timer | null = null;
  #closed = false;

  /** A start counts as use: what must exist is looked at. */
  constructor(options: RestOptions) {
    this.#options = options;
    this.#lastMs = options.clock.monotonic();
    this.#sinceMs = this.#lastMs;
    this.#sinceAt = options.clock.now();
    this.#arm(options.idleMs);
  }

  get mode(): RestMode {
    return this.#mode;
  }

  get awake(): boolean {
    return this.#mode === 'awake';
  }

  get lastActivityMs(): number {
    return this.#lastMs;
  }

  stir(why: Stir, atMs = this.#options.clock.monotonic()): void {
    if (this.#mode === 'resting' && atMs < this.#sinceMs) return;
    // The same use comes with every report: only one that is newer is news.
    if (this.#mode === 'elsewhere' && atMs > this.#lastMs + SAME_MS && HEARD.has(why)) this.#options.onUseElsewhere?.();
    this.#lastMs = Math.max(this.#lastMs, atMs);
    if (this.#mode === 'resting') this.#wake(why);
  }

  addObjection(objection: () => string | null): void {
    this.#objections.push(objection);
  }

  onChange(listener: (mode: RestMode) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Whether the controller of this process leads; where another does, the primary is none of our business. */
  lead(leads: boolean): void {
    if (leads && this.#mode === 'elsewhere') {
      this.#lastMs = this.#options.clock.monotonic();
      this.#wake('lead');
    } else if (!leads && this.#mode !== 'elsewhere') this.#enter('elsewhere');
  }

  view(): RestView {
    return {
      mode: this.#mode,
      since: new Date(this.#sinceAt).toISOString(),
      wokenBy: this.#wokenBy,
      rests: this.#rests,
      restedSeconds: Math.round((this.#restedMs + (this.awake ? 0 : this.#inModeMs)) / 1000),
    };
  }

  /** Decides nothing any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  get #inModeMs(): number {
    return this.#options.clock.monotonic() - this.#sinceMs;
  }

  #wake(why: Stir): void {
    this.#restedMs += this.#inModeMs;
    this.#wokenBy = why;
    this.#options.log.info({ why, afterMs: Math.round(this.#inModeMs) }, `The primary is awake: ${WORDS[why]}`);
    this.#enter('awake');
  }

  #enter(mode: RestMode): void {
    const { clock, idleMs, log, maxMs } = this.#options;
    this.#mode = mode;
    this.#sinceMs = clock.monotonic();
    this.#sinceAt = clock.now();
    if (mode === 'resting') {
      this.#rests += 1;
      log.info({ idleMs }, 'The application is idle: the primary is left alone');
    }
    this.#arm(mode === 'awake' ? idleMs : mode === 'resting' ? maxMs : null);
    for (const listener of [...this.#listeners]) listener(mode);
  }

  #arm(ms: number | null): void {
    this.#timer?.cancel();
    this.#timer = ms === null || this.#closed ? null : this.#options.clock.setTimer(ms, () => this.#look());
  }

  #look(): void {
    if (this.#mode === 'resting') this.stir('visit');
    else if (this.#mode === 'awake') this.#tryToRest();
  }

  #tryToRest(): void {
    const { clock, idleMs, log } = this.#options;
    const left = this.#lastMs + idleMs - clock.monotonic();
    const objection = left > 0 ? undefined : this.#objections.map((each) => each()).find((why) => why !== null);
    if (left > 0) this.#arm(left);
    else if (objection === undefined) this.#enter('resting');
    if (objection === undefined) return;
    log.debug({ objection }, `The primary is not left alone yet: ${objection}`);
    this.#arm(Math.min(RECHECK_MS, idleMs));
  }
}

const WORDS: Readonly<Record<Stir, string>> = {
  start: 'this process has started',
  application: 'the application uses it',
  failure: 'the application could not reach it',
  changes: 'changes arrive',
  order: 'somebody has ordered something',
  visit: 'it is time for a visit',
  neon: "Neon's API says that it is used",
  lead: 'this controller leads now',
  controller: 'the controller says that it is used',
  'controller-silent': 'the controller is silent, so that nobody can say that it is not used',
};
