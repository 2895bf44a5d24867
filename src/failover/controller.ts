/**
 * The failover controller: probes, holds the lease, and carries out what the machine decides. Events are handled one
 * after the other; an epoch is entered before anything else that follows from it; the work between two epochs runs
 * beside the probes and reports back with an event. What is to be done after a crash is read from the control row.
 */
import type { Clock } from '../core/clock.js';
import type { PrimaryRest } from '../core/economy.js';
import { RedundancyError } from '../core/errors.js';
import type {
  ControllerSnapshot,
  ControllerSurface,
  Guard,
  Order,
  OrderResult,
  ReplicationGap,
  Verb,
} from '../core/failover.js';
import type { Log } from '../core/log.js';
import { isQuotaExceeded } from '../core/quota.js';
import type { RouteAuthority, Side } from '../core/route.js';
import type { Recovery } from '../recovery/recovery.js';
import type { ControlRow } from './control-row.js';
import { routeOf } from './control-row.js';
import { type ControlStore, OvertakenError } from './control-store.js';
import type { CrashPoint } from './crash-points.js';
import { type FactReader, readFailoverFacts } from './facts.js';
import { describeRefusals, failbackGuards, failoverGuards, refusals } from './guards.js';
import { HealthRounds, type Pace } from './health.js';
import { afterRest, lagWhenLastSeen, noteSample, type WalSample } from './lag.js';
import { initialState, step } from './machine.js';
import type { Effect, Event, MachineState, Step } from './machine-types.js';
import { automatic, changeOf, type Intent, undoes } from './next-row.js';
import type { PrimaryAnswer, SecondaryAnswer } from './probes.js';
import { SideRecord } from './side-record.js';
import { StepRunner } from './step-runner.js';
import type { Situation } from './steps.js';
import type { Webhook } from './webhook.js';

export interface ControllerSettings {
  readonly stream: string;
  readonly holder: string;
  readonly health: { readonly intervalMs: number; readonly suspectIntervalMs: number };
  readonly thresholds: { readonly failover: number; readonly failback: number };
  readonly autoFailover: boolean;
  readonly autoFailback: boolean;
  readonly maxLagMs: number;
  /** Catch-up lag below which the primary counts as ready for a failback. */
  readonly readyLagMs: number;
  readonly cooldownMs: number;
  readonly graceMs: number;
  /** How often a primary is asked that has answered that its compute time is used up; 15 minutes by default. */
  readonly quotaProbeMs?: number;
}

export interface ControllerParts {
  readonly settings: ControllerSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly store: ControlStore;
  readonly authority: RouteAuthority;
  readonly recovery: Recovery;
  readonly webhook: Webhook;
  readonly facts: FactReader;
  /** Each rejects at its deadline: a database that hangs is one that fails. */
  readonly probePrimary: () => Promise<PrimaryAnswer>;
  readonly probeSecondary: (seen: WalSample | null) => Promise<SecondaryAnswer>;
  readonly releaseLease: () => Promise<void>;
  /** Whether the primary may be contacted (economy mode). */
  readonly rest: ControllerRest;
  /** That the primary is used, said to another controller, which leads. */
  readonly tellLeader: () => Promise<void>;
  /** Closes every connection to the primary; the next use opens new ones. */
  readonly letGoOfPrimary: () => Promise<void>;
  readonly runStep: (step: Step, situation: Situation, signal: AbortSignal) => Promise<void>;
  readonly lists: Pick<ControllerSurface, 'history' | 'conflicts' | 'deadLetters'>;
  readonly crash: CrashPoint;
}

export interface ControllerRest extends PrimaryRest {
  /** Told whether this controller leads. */
  lead(leads: boolean): void;
}

const PROGRESS_INTERVAL_MS = 500;
/** A primary whose compute time is used up is asked so seldom: it will say the same for days. */
const TELL_INTERVAL_MS = 20_000;
const QUOTA_PROBE_MS = 900_000;

export class Controller implements ControllerSurface {
  readonly #parts: ControllerParts;
  readonly #primary = new SideRecord();
  readonly #secondary = new SideRecord();
  readonly #rounds: HealthRounds;
  readonly #steps: StepRunner;
  #machine: MachineState = initialState();
  #row: ControlRow | null = null;
  #enteredAtMs = 0;
  #leads = false;
  #readopt = false;
  #settled = true;
  #samples: WalSample[] = [];
  #intent: Intent | null = null;
  #alerts: string[] = [];
  /** The newest alert since the last order or the last change that came to its end. */
  #lastAlert: string | null = null;
  #refusal: string | null = null;
  #failovers = 0;
  #failbacks = 0;
  /** Monotonic; the last time that the primary answered that its compute time is used up. */
  #quotaMs: number | null = null;
  #restBeganMs = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  /** How often others have told of use; null before the first look. */
  #stirred: number | null = null;
  /** Rounds that have asked the primary. */
  #asks = 0;
  #events: Promise<void> = Promise.resolve();
  readonly #watchers = new Set<() => void>();

  constructor(parts: ControllerParts) {
    this.#parts = parts;
    this.#rounds = new HealthRounds(parts.clock, parts.settings.health, () => this.#round());
    parts.rest.addObjection(() => this.#objection());
    this.#steps = new StepRunner({
      clock: parts.clock,
      log: parts.log,
      situation: () => ({
        row: this.#known(),
        enteredAtMs: this.#enteredAtMs,
      }),
      run: parts.runStep,
      report: async (event) => {
        await this.#post(event);
        this.#changed();
      },
    });
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const progress = this.#watchProgress(signal);
    const leaveRest = this.#parts.rest.onChange((mode) => this.#onRest(mode));
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
      this.#changed();
    }
  }

  snapshot(): ControllerSnapshot {
    const row = this.#row;
    return {
      leads: this.#leads,
      state: this.#machine.state,
      epoch: row?.epoch ?? 0,
      route: row && routeOf(row),
      active: row?.active ?? 'primary',
      paused: row?.paused ?? false,
      primary: this.#primary.health(),
      secondary: this.#secondary.health(),
      alerts: this.#alerts,
      failovers: this.#failovers,
      failbacks: this.#failbacks,
    };
  }

  async replication(): Promise<ReplicationGap | null> {
    const position = await this.#parts.facts.position().catch(() => null);
    const last = this.#samples.at(-1);
    const lagMs = position && lagWhenLastSeen(this.#samples, position);
    if (!position || !last || lagMs === null) return null;
    const lagBytes = last.lsn > position.lsn ? Number(last.lsn - position.lsn) : 0;
    return { lagSeconds: lagMs / 1000, lagBytes };
  }

  /** Resolves when no work is under way. */
  idle(): Promise<void> {
    return this.#until(() => !this.#steps.busy);
  }

  history = (limit: number) => this.#parts.lists.history(limit);
  conflicts = (limit: number) => this.#parts.lists.conflicts(limit);
  deadLetters = (limit: number) => this.#parts.lists.deadLetters(limit);

  /** Resolves when the order has been carried out, undone or refused. */
  async order(order: Order): Promise<OrderResult> {
    const begunMs = this.#parts.clock.monotonic();
    if (!this.#leads || !this.#row) throw notLeading();
    await this.#awake();
    if (order.verb === 'pause' || order.verb === 'resume') return this.#setPaused(order, begunMs);
    const guards = await this.guards(order.verb);
    const how = this.#howOf(order.verb);
    const refused = refusals(guards, order);
    const answer = (done: boolean, refusedBy: boolean, message: string): OrderResult => ({
      done,
      refused: refusedBy,
      message,
      state: this.#machine.state,
      epoch: this.#row?.epoch ?? 0,
      how,
      guards,
      tookMs: Math.round(this.#parts.clock.monotonic() - begunMs),
    });
    if (order.dryRun) {
      return answer(false, refused.length > 0, refused.length > 0 ? describeRefusals(refused) : 'Every guard holds.');
    }
    if (refused.length > 0) return answer(false, true, describeRefusals(refused));
    const from = this.#row.epoch;
    this.#lastAlert = null;
    await this.#post({ kind: 'ordered', verb: order.verb, how: how ?? 'crash' }, { ...order, guards, how, begunMs });
    if (this.#refusal !== null) return answer(false, true, this.#refusal);
    if (this.#known().epoch === from)
      return answer(false, false, 'The control row could not be moved; the log says why.');
    await this.#until(() => this.#atRest());
    const wanted: Side = order.verb === 'failover' ? 'secondary' : 'primary';
    const done = this.#known().active === wanted && this.#known().phase === 'open';
    return answer(done, false, done ? `The ${wanted} is active.` : (this.#lastAlert ?? 'It was undone.'));
  }

  /** Something that a person has to know, found by work that is nobody's step. */
  warn(text: string): void {
    this.#alert(text);
  }

  /** Every guard of a manual failover or failback with its value. */
  async guards(verb: Exclude<Verb, 'pause' | 'resume'>): Promise<Guard[]> {
    return verb === 'failover' ? this.#failoverGuards(true) : this.#failbackGuards(true);
  }

  /** Resolves when this controller leads and has taken up the row. */
  async leading(signal: AbortSignal): Promise<void> {
    await this.#until(() => this.#leads && this.#row !== null && !this.#readopt, signal);
  }

  /** A query of the application failed; what a passive check goes by, while the primary is not asked. */
  heardFailure({ quota, router }: { readonly router: string; readonly quota: boolean }): void {
    const { clock, log, rest } = this.#parts;
    if (!this.#leads || this.#machine.active !== 'primary') return;
    // While the primary is asked directly, its own answers count; what decides at once is asked for at once.
    if (rest.awake) {
      if (quota && this.#quotaMs === null) this.#rounds.again();
      return;
    }
    const error = new Error(`queries of router ${router} to the primary fail${quota ? `: ${QUOTA_TEXT}` : ''}`);
    this.#primary.failed(clock.now(), error);
    log.warn({ side: 'primary', router, error: error.message }, 'Health check failed for primary');
    const secondary = this.#secondary.connected;
    void this.#post({ kind: 'probed', primary: false, secondary, atMs: clock.now() });
  }

  /** A router has told this controller, which only watches, that the primary is used: the leader must know. */
  heardOfUse(): void {
    const { clock, log, tellLeader } = this.#parts;
    if (this.#leads || clock.monotonic() - this.#toldMs < TELL_INTERVAL_MS) return;
    this.#toldMs = clock.monotonic();
    tellLeader().catch((error: unknown) =>
      log.debug({ err: error }, 'The leading controller could not be told of use'),
    );
  }

  // Economy mode

  /** Why the primary must not be left alone now. */
  #objection(): string | null {
    const { durable, primaryFailures, state } = this.#machine;
    if (!this.#leads) return 'no controller leads yet';
    if (state !== 'PRIMARY_ACTIVE' || durable !== 'PRIMARY_ACTIVE' || this.#row?.phase !== 'open')
      return `the state is ${state}`;
    if (this.#steps.busy || !this.#settled) return 'the controller has work to do there';
    return primaryFailures > 0 || !this.#primary.connected ? 'the last health check failed' : null;
  }

  #onRest(mode: PrimaryRest['mode']): void {
    const { clock, letGoOfPrimary, log } = this.#parts;
    if (mode === 'awake') {
      this.#samples = afterRest(this.#samples, clock.monotonic() - this.#restBeganMs);
      this.#rounds.again();
      return;
    }
    this.#restBeganMs = clock.monotonic();
    letGoOfPrimary().catch((error: unknown) => log.debug({ err: error }, 'Connections to the primary were cut'));
  }

  /** Somebody wants something: both sides are asked before it is judged. */
  async #awake(): Promise<void> {
    const { rest } = this.#parts;
    if (rest.mode !== 'resting') return rest.stir('order');
    const before = this.#asks;
    rest.stir('order');
    await this.#until(() => this.#asks > before || !this.#leads);
  }

  // Probing

  async #round(): Promise<Pace> {
    const { authority, clock, log, probePrimary, probeSecondary, settings } = this.#parts;
    const seen = this.#primary.connected ? (this.#samples.at(-1) ?? null) : null;
    const secondary = probeSecondary(seen).then(
      (answer) => this.#secondary.succeeded(clock.now(), answer.latencyMs, answer),
      (error: unknown) => this.#secondary.failed(clock.now(), error),
    );
    const { rest } = this.#parts;
    const resting = rest.mode === 'resting';
    const quota =
      this.#quotaMs !== null && clock.monotonic() - this.#quotaMs < (settings.quotaProbeMs ?? QUOTA_PROBE_MS);
    // Nobody but the leader asks the primary, and nobody where it is left alone.
    const asked = (this.#leads || this.#row === null) && rest.mode !== 'resting' && !quota;
    const primary = asked
      ? probePrimary().then(
          (answer) => {
            this.#quotaMs = null;
            return this.#primary.succeeded(clock.now(), answer.latencyMs, answer);
          },
          (error: unknown) => {
            const quotaNow = isQuotaExceeded(error);
            if (quotaNow && this.#quotaMs === null)
              log.error(
                { side: 'primary' },
                `The primary cannot be used: ${QUOTA_TEXT}. It is asked seldom from now on`,
              );
            this.#quotaMs = quotaNow ? clock.monotonic() : null;
            return this.#primary.failed(clock.now(), error);
          },
        )
      : Promise.resolve(null);
    if (resting) this.#primary.hearsay(clock.now());
    const [beat, wal] = await Promise.all([secondary, primary]);
    for (const [side, record] of [
      ['primary', this.#primary],
      ['secondary', this.#secondary],
    ] as const) {
      const { error } = record.health();
      if (error !== null) log.warn({ side, error }, `Health check failed for ${side}`);
    }
    if (asked) this.#asks += 1;
    if (wal) this.#samples = noteSample(this.#samples, { atMs: clock.now(), lsn: wal.lsn });
    if (beat) {
      authority.grantUntil(beat.leads ? beat.leaseUntil : 0);
      if (!beat.leads) return this.#follow(beat);
      // What a former leader knew is older than the first thing that is seen here.
      if (this.#samples.length <= 1 && beat.primarySeen) this.#samples = [beat.primarySeen, ...this.#samples];
      await this.#takeUp(beat.row?.epoch ?? 0);
      if (this.#stirred !== null && beat.stirred > this.#stirred) rest.stir('application');
      this.#stirred = beat.stirred;
    }
    if (!this.#leads) return 'suspect';
    // It has just begun to lead, and has not looked at the primary yet.
    if (!asked && !resting && !quota) return { followMs: 0 };
    await this.#post({
      kind: 'probed',
      primary: this.#primary.connected,
      secondary: beat !== null,
      atMs: clock.now(),
      quota: this.#quotaMs !== null,
    });
    this.#changed();
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
    if (beat.row && (!this.#row || beat.row.epoch > this.#row.epoch)) this.#learn(beat.row);
    if (beat.row) this.#machine = { ...this.#machine, state: beat.row.state, durable: beat.row.state };
    // An order that was under way here is another's now; without this its caller would wait for ever.
    this.#changed();
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
      if (this.#leads && !this.#readopt && seen <= (this.#row?.epoch ?? 0)) return;
      const row = await store.adopt();
      if (!this.#leads) {
        log.info({ epoch: row.epoch, state: row.state }, 'This controller leads');
        this.#machine = initialState();
      }
      this.#machine = { ...this.#machine, state: row.state, durable: row.state, active: row.active };
      this.#intent = null;
      this.#learn(row);
      this.#leads = true;
      this.#parts.rest.lead(true);
      this.#readopt = false;
      await this.#handle({ kind: 'adopted', state: row.state, active: row.active }, null);
    });
    this.#events = turn.catch((error: unknown) => log.warn({ err: error }, 'The control row cannot be taken up'));
    return this.#events;
  }

  #learn(row: ControlRow): void {
    const { authority, clock } = this.#parts;
    if (row.epoch > (this.#row?.epoch ?? 0)) {
      this.#enteredAtMs = clock.monotonic();
      if (row.epoch > (authority.route?.epoch ?? 0)) authority.publish(routeOf(row));
    }
    this.#row = row;
    this.#changed();
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

  /** Handles an event when those before it are done. `intent`: a person's, in place of the automaton's. */
  #post(event: Event, intent?: Intent): Promise<void> {
    const turn = this.#events.then(() => this.#handle(event, intent ?? null));
    this.#events = turn.catch((error: unknown) => {
      this.#parts.log.error({ err: error, event: event.kind }, 'The controller could not handle an event');
    });
    return this.#events;
  }

  async #handle(event: Event, intent: Intent | null): Promise<void> {
    this.#refusal = null;
    if (!this.#leads) {
      this.#refusal = 'This controller does not lead.';
      return;
    }
    if (intent) this.#intent = intent;
    const { state, effects } = step(this.#machine, event, this.#parts.settings.thresholds);
    const enters = effects.find((effect) => effect.kind === 'enter');
    if (enters && !(await this.#enter(enters))) {
      // What was seen of the databases stands all the same: the next probes count on.
      const { firstFailureAtMs, primaryFailures, primarySuccesses, secondaryFailures } = state;
      this.#machine = { ...this.#machine, firstFailureAtMs, primaryFailures, primarySuccesses, secondaryFailures };
      return;
    }
    if (!enters && state.state !== this.#machine.state) this.#note(state);
    this.#machine = state;
    if (event.kind === 'done' && event.step === 'settle-primary') this.#settled = true;
    for (const effect of effects) if (effect !== enters) await this.#perform(effect);
    this.#changed();
  }

  async #perform(effect: Effect): Promise<void> {
    switch (effect.kind) {
      case 'enter':
        return;
      case 'step':
        if (effect.step === 'settle-primary') this.#settled = false;
        this.#steps.begin(effect.step);
        return;
      case 'cancel':
        await this.#steps.cancelUnlessUndoing();
        this.#changed();
        return;
      case 'judge':
        this.#judge(effect.what);
        return;
      case 'primary-lost':
        this.#parts.recovery.primaryLost();
        return;
      case 'readopt':
        this.#readopt = true;
        return;
      case 'alert':
        this.#alert(effect.text);
        return;
      case 'refuse':
        this.#refusal = effect.text;
    }
  }

  /** @returns false when the row could not be moved; the row is read again then, and says how to go on */
  async #enter(effect: Extract<Effect, { kind: 'enter' }>): Promise<boolean> {
    const { clock, crash, log, settings, store } = this.#parts;
    const from = this.#known();
    const wanted = this.#intent ?? automatic(from, effect);
    const intent = undoes(from, effect) && this.#lastAlert ? { ...wanted, reason: this.#lastAlert } : wanted;
    const change = changeOf(
      from,
      effect,
      intent,
      { nowMs: clock.now(), monotonic: clock.monotonic() },
      settings.graceMs,
    );
    try {
      crash(`enter:${effect.state}/${effect.active}`);
      const row = await store.advance(from, change);
      crash(`entered:${effect.state}/${effect.active}`);
      this.#learn(row);
      this.#announce(from, row);
      if (row.phase === 'open') this.#intent = null;
      return true;
    } catch (error) {
      if (!(error instanceof OvertakenError)) {
        log.error({ err: error, state: effect.state }, `State ${effect.state} could not be entered`);
      }
      this.#readopt = true;
      this.#rounds.nudge();
      return false;
    }
  }

  #announce(from: ControlRow, row: ControlRow): void {
    const { log, settings, webhook } = this.#parts;
    const { actor, active, epoch, reason, state } = row;
    if (from.active === 'primary' && active === 'secondary') {
      this.#failovers += 1;
      log.warn({ epoch, actor, reason }, 'Initiating failover to secondary');
    } else if (from.active === 'secondary' && active === 'primary') {
      this.#failbacks += 1;
      log.warn({ epoch, actor, reason }, 'Initiating failback to primary');
    }
    if (state === 'PRIMARY_ACTIVE' || state === 'SECONDARY_ACTIVE') this.#alerts = [];
    log.info({ epoch, from: from.state, state, active, actor, reason }, `Epoch ${epoch}: ${from.state} to ${state}`);
    const text = `${settings.stream}: ${from.state} to ${state}, ${active} is active (epoch ${epoch}, ${actor}: ${reason})`;
    webhook.send({
      event: 'transition',
      stream: settings.stream,
      state,
      epoch,
      active,
      text,
      actor,
      reason,
      at: row.since,
    });
  }

  /** A change that only this process sees: for the log and the webhook. */
  #note(next: MachineState): void {
    const { clock, log, settings, webhook } = this.#parts;
    const from = this.#machine.state;
    log.info({ from, state: next.state }, `${from} to ${next.state}`);
    if (next.state === 'PRIMARY_ACTIVE') this.#alerts = [];
    webhook.send({
      event: 'transition',
      stream: settings.stream,
      state: next.state,
      epoch: this.#row?.epoch ?? 0,
      active: next.active,
      text: `${settings.stream}: ${from} to ${next.state}`,
      actor: 'controller',
      reason: this.#primary.health().error ?? 'probes',
      at: new Date(clock.now()).toISOString(),
    });
  }

  #alert(text: string): void {
    const { clock, log, settings, webhook } = this.#parts;
    this.#lastAlert = text;
    if (this.#alerts.includes(text)) return;
    this.#alerts = [...this.#alerts.slice(-9), text];
    log.error({ state: this.#machine.state }, text);
    webhook.send({
      event: 'alert',
      stream: settings.stream,
      state: this.#machine.state,
      epoch: this.#row?.epoch ?? 0,
      active: this.#machine.active,
      text,
      actor: 'controller',
      reason: text,
      at: new Date(clock.now()).toISOString(),
    });
  }

  // Guards

  /** Beside the queue of events, since it reads the secondary: its answer is an event. */
  #judge(what: 'failover' | 'failback'): void {
    const guards = what === 'failover' ? this.#failoverGuards(false) : this.#failbackGuards(false);
    guards
      .catch((error: unknown): Guard[] => [
        {
          name: 'guards-readable',
          ok: false,
          value: error instanceof Error ? error.message : String(error),
          limit: 'the guards can be read',
          override: null,
        },
      ])
      .then((found) => {
        const refused = refusals(found, null);
        const begunMs = this.#parts.clock.monotonic();
        const reason =
          what === 'failover'
            ? `${this.#machine.primaryFailures} probes of the primary failed: ${this.#primary.health().error ?? 'no answer'}`
            : `${this.#machine.primarySuccesses} probes of the primary succeeded`;
        const how = what === 'failover' ? 'crash' : null;
        const intent: Intent = { actor: 'controller', reason, guards: found, how, begunMs };
        return this.#post(
          { kind: 'judged', ok: refused.length === 0, refusals: describeRefusals(refused) },
          refused.length === 0 ? intent : undefined,
        );
      })
      .catch(() => undefined);
  }

  async #failoverGuards(manual: boolean): Promise<Guard[]> {
    const { authority, clock, facts, settings } = this.#parts;
    const stored = await readFailoverFacts(facts, this.#samples);
    return failoverGuards(
      {
        ...stored,
        nowMs: clock.now(),
        secondaryError: this.#secondary.health().error,
        primaryReachable: this.#primary.connected,
        maxLagMs: settings.maxLagMs,
        routersStillWriting: stillWriting(authority, this.#machine.firstFailureAtMs),
        ...this.#cooldown(),
        auto: settings.autoFailover,
      },
      manual,
    );
  }

  async #failbackGuards(manual: boolean): Promise<Guard[]> {
    const { clock, recovery, settings } = this.#parts;
    return failbackGuards(
      {
        nowMs: clock.now(),
        primarySuccesses: this.#machine.primarySuccesses,
        threshold: settings.thresholds.failback,
        progress: recovery.progress(),
        maxLagMs: settings.readyLagMs,
        ...this.#cooldown(),
        auto: settings.autoFailback,
      },
      manual,
    );
  }

  #cooldown(): { cooldownFromMs: number | null; cooldownMs: number; paused: boolean } {
    const from = this.#row?.detail.cooldownFrom ?? null;
    return {
      cooldownFromMs: from === null ? null : Date.parse(from),
      cooldownMs: this.#parts.settings.cooldownMs,
      paused: this.#row?.paused ?? false,
    };
  }

  // Orders

  #howOf(verb: Verb): 'crash' | 'switchover' | null {
    if (verb !== 'failover') return null;
    return this.#primary.connected && this.#machine.primaryFailures === 0 ? 'switchover' : 'crash';
  }

  async #setPaused(order: Order, begunMs: number): Promise<OrderResult> {
    const { clock, store } = this.#parts;
    const paused = order.verb === 'pause';
    if (!order.dryRun) {
      const turn = this.#events.then(async () => {
        const from = this.#known();
        const { state, active, phase, graceMs, detail } = from;
        const { actor, reason } = order;
        const same = { state, active, phase, graceMs, detail, durationMs: null, guards: [] };
        const row = await store.advance(from, { ...same, paused, actor, reason });
        this.#learn(row);
        this.#announce(from, row);
      });
      this.#events = turn.catch(() => undefined);
      await turn;
    }
    return {
      done: !order.dryRun,
      refused: false,
      message: paused ? 'Automatic failover and failback are paused.' : 'Automatic failover and failback are on.',
      state: this.#machine.state,
      epoch: this.#row?.epoch ?? 0,
      how: null,
      guards: [],
      tookMs: Math.round(clock.monotonic() - begunMs),
    };
  }

  /** Nothing is under way for which routers are held, or nothing that this process could bring to an end. */
  #atRest(): boolean {
    return this.#row?.phase === 'open' || !this.#leads || this.#machine.state === 'MANUAL_REQUIRED';
  }

  async #until(condition: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!condition()) {
      signal?.throwIfAborted();
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#watchers.delete(wake);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        this.#watchers.add(wake);
        signal?.addEventListener('abort', wake, { once: true });
      });
    }
  }

  #changed(): void {
    for (const wake of [...this.#watchers]) wake();
  }

  #known(): ControlRow {
    if (!this.#row) throw notLeading();
    return this.#row;
  }
}

const QUOTA_TEXT = 'its compute time is used up for this period';

function notLeading(): RedundancyError {
  return new RedundancyError('This process does not lead as controller.', {
    code: 'not-leading',
    remedy: 'Ask the leading controller (DB_CONTROLLER_URL), or try again when this one has taken over.',
  });
}

function stillWriting(authority: RouteAuthority, sinceMs: number | null): string[] {
  if (sinceMs === null) return [];
  return authority
    .routers()
    .filter(({ primary, seenAtMs }) => primary.writeOkAgoMs !== null && seenAtMs - primary.writeOkAgoMs > sinceMs)
    .map(({ name, router }) => name ?? router);
}
