/**
 * The failover controller: probes, holds the lease, and carries out what the machine decides. Events are handled one
 * after the other; an epoch is entered before anything else that follows from it; the work between two epochs runs
 * beside the probes and reports back with an event. What is to be done after a crash is read from the control row.
 */
import type {
  ControllerSnapshot,
  ControllerSurface,
  Guard,
  Order,
  OrderResult,
  ReplicationGap,
  Verb,
} from '../core/failover.js';
import type { RouteAuthority } from '../core/route.js';
import type { Recovery } from '../recovery/recovery.js';
import { Announcements } from './announcements.js';
import { Changes } from './changes.js';
import { routeOf } from './control-row.js';
import type { ControlStore } from './control-store.js';
import type { CrashPoint } from './crash-points.js';
import { HealthRounds, type Pace } from './health.js';
import { Judgement, type JudgementSettings } from './judgement.js';
import { KnownRow } from './known-row.js';
import { initialState, step } from './machine.js';
import type { Effect, Event, MachineState, Step } from './machine-types.js';
import type { Intent } from './next-row.js';
import { Observation, type ObservationParts } from './observation.js';
import { Orders } from './orders.js';
import type { SecondaryAnswer } from './probes.js';
import { Repose, type ReposeParts } from './repose.js';
import { StepRunner } from './step-runner.js';
import type { Situation } from './steps.js';
import type { Webhook } from './webhook.js';

export interface ControllerSettings extends JudgementSettings {
  readonly stream: string;
  readonly holder: string;
  readonly health: { readonly intervalMs: number; readonly suspectIntervalMs: number };
  readonly thresholds: { readonly failover: number; readonly failback: number };
  readonly graceMs: number;
  readonly quotaProbeMs?: number;
}

export interface ControllerParts extends Omit<ObservationParts, 'settings'>, ReposeParts {
  readonly settings: ControllerSettings;
  readonly store: ControlStore;
  readonly authority: RouteAuthority;
  readonly recovery: Recovery;
  readonly webhook: Webhook;
  readonly releaseLease: () => Promise<void>;
  readonly runStep: (step: Step, situation: Situation, signal: AbortSignal) => Promise<void>;
  readonly lists: Pick<ControllerSurface, 'history' | 'conflicts' | 'deadLetters'>;
  readonly crash: CrashPoint;
}

const PROGRESS_INTERVAL_MS = 500;

export class Controller implements ControllerSurface {
  readonly #parts: ControllerParts;
  readonly #known: KnownRow;
  readonly #seen: Observation;
  readonly #said: Announcements;
  readonly #judgement: Judgement;
  readonly #orders: Orders;
  readonly #repose: Repose;
  readonly #rounds: HealthRounds;
  readonly #steps: StepRunner;
  #machine: MachineState = initialState();
  #leads = false;
  #settled = true;
  #intent: Intent | null = null;
  #events: Promise<unknown> = Promise.resolve();
  readonly #changes = new Changes();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#seen = new Observation(parts);
    this.#said = new Announcements({ ...parts, stream: parts.settings.stream });
    this.#known = new KnownRow({ ...parts, said: this.#said, changes: this.#changes });
    const situation = { observation: this.#seen, machine: () => this.#machine, row: () => this.#known.seen };
    this.#judgement = new Judgement({ ...parts, ...situation });
    this.#orders = new Orders({
      ...situation,
      clock: parts.clock,
      thresholds: parts.settings.thresholds,
      judgement: this.#judgement,
      said: this.#said,
      changes: this.#changes,
      leads: () => this.#leads,
      post: (event, intent) => this.#post(event, intent),
      setPaused: (paused, order) => this.#setPaused(paused, order),
      awake: () => this.#repose.wake(),
    });
    this.#rounds = new HealthRounds(parts.clock, parts.settings.health, () => this.#round());
    this.#repose = new Repose(parts, {
      ...situation,
      changes: this.#changes,
      leads: () => this.#leads,
      busy: () => this.#steps.busy || !this.#settled,
      askNow: () => this.#rounds.again(),
      post: (event) => this.#post(event),
    });
    this.#steps = new StepRunner({
      clock: parts.clock,
      log: parts.log,
      situation: () => ({ row: this.#known.row, enteredAtMs: this.#known.enteredAtMs }),
      run: parts.runStep,
      report: async (event) => {
        await this.#post(event);
        this.#changes.happened();
      },
    });
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const progress = this.#watchProgress(signal);
    const leaveRest = this.#repose.begin();
    try {
      await this.#rounds.run(signal);
    } finally {
      leaveRest();
      await progress;
      await this.#steps.cancel();
      await this.#events;
      await this.#parts.store.settled();
      if (this.#leads) await this.#parts.releaseLease().catch(() => undefined);
      this.#leads = false;
      this.#parts.authority.grantUntil(0);
      // Whoever waits for an order or for quiet gets an answer.
      this.#changes.happened();
    }
  }

  snapshot(): ControllerSnapshot {
    const row = this.#known.seen;
    return {
      leads: this.#leads,
      state: this.#machine.state,
      epoch: row?.epoch ?? 0,
      route: row && routeOf(row),
      active: row?.active ?? this.#parts.authority.route?.active ?? 'primary',
      paused: row?.paused ?? false,
      primary: this.#seen.primary.health(),
      secondary: this.#seen.secondary.health(),
      alerts: this.#said.alerts,
      failovers: this.#said.failovers,
      failbacks: this.#said.failbacks,
      recovery: row?.active === 'secondary' && this.#leads ? this.#parts.recovery.progress() : null,
    };
  }

  replication(): Promise<ReplicationGap | null> {
    return this.#seen.gap();
  }

  /** Resolves when no work is under way. */
  idle(): Promise<void> {
    return this.#changes.until(() => !this.#steps.busy);
  }

  history = (limit: number) => this.#parts.lists.history(limit);
  conflicts = (limit: number) => this.#parts.lists.conflicts(limit);
  deadLetters = (limit: number) => this.#parts.lists.deadLetters(limit);

  /** Resolves when the order has been carried out, undone or refused. */
  order(order: Order): Promise<OrderResult> {
    return this.#orders.carryOut(order);
  }

  /** Something that a person has to know. */
  warn(text: string): void {
    this.#said.alert(text, this.#machine, this.#known.epoch);
  }

  /** Every guard of a manual failover or failback with its value. */
  guards(verb: Exclude<Verb, 'pause' | 'resume'>): Promise<Guard[]> {
    return this.#judgement.guards(verb, true);
  }

  /** Resolves when this controller leads and has taken up the row. */
  async leading(signal: AbortSignal): Promise<void> {
    await this.#changes.until(() => this.#leads && this.#known.seen !== null && !this.#known.outdated, signal);
  }

  /** A query of the application failed; what a passive check goes by, while the primary is not asked. */
  heardFailure(failure: { readonly router: string; readonly quota: boolean }): void {
    this.#repose.heardFailure(failure);
  }

  /** A router has told this controller, which only watches, that the primary is used: the leader must know. */
  heardOfUse(): void {
    this.#repose.heardOfUse();
  }

  // Probing

  async #round(): Promise<Pace> {
    const { authority, clock, settings } = this.#parts;
    const resting = this.#repose.resting;
    const spared = this.#seen.sparesPrimary;
    const asked = (this.#leads || this.#known.seen === null) && !resting && !spared;
    if (resting) this.#seen.primary.hearsay(clock.now());
    const beat = await this.#seen.look(asked);
    if (beat) {
      authority.grantUntil(beat.leads ? beat.leaseUntil : 0);
      if (!beat.leads) return this.#follow(beat);
      this.#seen.inherit(beat.primarySeen);
      await this.#takeUp(beat.row?.epoch ?? 0);
      this.#repose.told(beat.stirred);
    }
    if (!this.#leads) return 'suspect';
    // It has just begun to lead, and has not looked at the primary yet.
    if (!asked && !resting && !spared) return { followMs: 0 };
    await this.#post({
      kind: 'probed',
      primary: this.#seen.primary.connected,
      secondary: beat !== null,
      atMs: clock.now(),
      quota: this.#seen.outOfQuota,
    });
    this.#changes.happened();
    if (!this.#settled && this.#machine.state === 'PRIMARY_ACTIVE') this.#steps.begin('settle-primary');
    const failing = this.#machine.primaryFailures > 0 || this.#machine.secondaryFailures > 0;
    return failing && settings.health.suspectIntervalMs > 0 ? 'suspect' : 'steady';
  }

  async #follow(beat: SecondaryAnswer): Promise<Pace> {
    if (this.#leads) {
      this.#parts.log.warn({ holder: beat.holder }, 'Another controller leads now');
      this.#leads = false;
      await this.#steps.cancel();
      await this.#parts.recovery.stop();
    }
    this.#parts.rest.lead(false);
    if (beat.row && (!this.#known.seen || beat.row.epoch > this.#known.seen.epoch)) this.#known.learn(beat.row);
    if (beat.row) this.#machine = { ...this.#machine, state: beat.row.state, durable: beat.row.state };
    // An order that was under way here is another's now; without this its caller would wait for ever.
    this.#changes.happened();
    return { followMs: beat.othersLeaseMs };
  }

  /**
   * Begins to lead, or finds that the row was moved by somebody else: what the row says is carried on. In its turn among
   * the events, since an epoch that is being entered is on the secondary before it is known here.
   * @param seen the epoch that a probe has read
   */
  #takeUp(seen: number): Promise<void> {
    const { log, store } = this.#parts;
    const turn = this.#events.then(async () => {
      if (this.#leads && !this.#known.outdated && seen <= this.#known.epoch) return;
      const row = await store.adopt();
      if (!this.#leads) {
        log.info({ epoch: row.epoch, state: row.state }, 'This controller leads');
        this.#machine = initialState();
      }
      this.#machine = { ...this.#machine, state: row.state, durable: row.state, active: row.active };
      this.#intent = null;
      this.#known.learn(row);
      this.#leads = true;
      this.#parts.rest.lead(true);
      this.#known.outdated = false;
      await this.#handle({ kind: 'adopted', state: row.state, active: row.active }, null);
    });
    const settled = turn.catch((error: unknown) => log.warn({ err: error }, 'The control row cannot be taken up'));
    this.#events = settled;
    return settled;
  }

  async #watchProgress(signal: AbortSignal): Promise<void> {
    const { clock, recovery, settings } = this.#parts;
    while (!signal.aborted) {
      await clock.sleep(PROGRESS_INTERVAL_MS, signal).catch(() => undefined);
      const { state } = this.#machine;
      if (!this.#leads || this.#steps.busy || (state !== 'RECOVERING' && state !== 'READY')) continue;
      const { lagMs, tailMerged } = recovery.progress();
      const ready = tailMerged && lagMs !== null && lagMs <= settings.readyLagMs;
      if (ready !== (state === 'READY')) await this.#post({ kind: 'progressed', ready });
    }
  }

  // Events and effects

  /**
   * Handles an event when those before it are done. `intent`: a person's, in place of the automaton's.
   * @returns why it was refused, or null. Does not reject.
   */
  #post(event: Event, intent?: Intent): Promise<string | null> {
    const turn = this.#events
      .then(() => this.#handle(event, intent ?? null))
      .catch((error: unknown) => {
        this.#parts.log.error({ err: error, event: event.kind }, 'The controller could not handle an event');
        return null;
      });
    this.#events = turn;
    return turn;
  }

  async #handle(event: Event, intent: Intent | null): Promise<string | null> {
    if (!this.#leads) return 'This controller does not lead.';
    if (intent) this.#intent = intent;
    const { state, effects } = step(this.#machine, event, this.#parts.settings.thresholds);
    const enters = effects.find((effect) => effect.kind === 'enter');
    if (enters && !(await this.#known.enter(enters, this.#intent))) {
      this.#rounds.nudge();
      // What was seen of the databases stands all the same: the next probes count on.
      const { firstFailureAtMs, primaryFailures, primarySuccesses, secondaryFailures } = state;
      this.#machine = { ...this.#machine, firstFailureAtMs, primaryFailures, primarySuccesses, secondaryFailures };
      return null;
    }
    if (!enters && state.state !== this.#machine.state)
      this.#said.observed(this.#machine, state, this.#known.epoch, this.#seen.primary.health().error ?? 'probes');
    if (enters?.phase === 'open') this.#intent = null;
    this.#machine = state;
    if (event.kind === 'done' && event.step === 'settle-primary') this.#settled = true;
    let refusal: string | null = null;
    for (const effect of effects) {
      if (effect.kind === 'refuse') refusal = effect.text;
      else if (effect !== enters) await this.#perform(effect);
    }
    this.#changes.happened();
    return refusal;
  }

  async #perform(effect: Exclude<Effect, { kind: 'refuse' }>): Promise<void> {
    switch (effect.kind) {
      case 'enter':
        return;
      case 'step':
        if (effect.step === 'settle-primary') this.#settled = false;
        this.#steps.begin(effect.step);
        return;
      case 'cancel':
        await this.#steps.cancelUnlessUndoing();
        this.#changes.happened();
        return;
      case 'judge':
        // Beside the queue of events, since it reads the secondary: its answer is an event.
        void this.#judgement.judge(effect.what).then(({ event, intent }) => this.#post(event, intent ?? undefined));
        return;
      case 'primary-lost':
        this.#parts.recovery.primaryLost();
        return;
      case 'readopt':
        this.#known.outdated = true;
        return;
      case 'alert':
        this.warn(effect.text);
    }
  }

  async #setPaused(paused: boolean, order: Order): Promise<void> {
    const turn = this.#events.then(() => this.#known.setPaused(paused, order));
    this.#events = turn.catch(() => undefined);
    await turn;
  }
}
