/**
 * The supervisor of a stream: sets up, waits for its turn, leads, and starts over from the checkpoint after whatever ended
 * a session. Holds what outlives sessions, and tells the world about it (StatusSource).
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Patience } from '../apply/patience.js';
import { TargetSession } from '../apply/target-session.js';
import { Backoff } from '../core/backoff.js';
import { ALWAYS_AWAKE } from '../core/economy.js';
import { ConfigurationError } from '../core/errors.js';
import type { TableName } from '../core/ident.js';
import type { StatusSource, StreamSnapshot } from '../core/status.js';
import { migrate } from '../meta/migrate.js';
import { TargetLink } from '../meta/target-link.js';
import { TableRegistry } from '../pipeline/registry.js';
import { Reconciler } from '../reconcile/reconciler.js';
import type { VerifyOrder } from '../reconcile/state.js';
import { TargetReader } from '../reconcile/target-reader.js';
import { untilVisible } from '../snapshot/visible.js';
import { SourcePool } from '../source/sql-pool.js';
import { type CountResult, compareCountsLoosely } from './count-check.js';
import { zeroCounters } from './counters.js';
import { judgeEnd } from './judge.js';
import { Leader } from './leader.js';
import { StreamAtRest } from './leave-alone.js';
import type { SchemaReport, SchemaService } from './schema-service.js';
import type { StreamSession } from './session.js';
import { setUp } from './setup.js';
import { Situation } from './situation.js';
import { composeSnapshot, judgeReadiness } from './status.js';
import type { StreamerOptions } from './streamer-options.js';
import { TableKeeper } from './table-keeper.js';
import { TablesStore } from './tables-store.js';
import { type TurnParts, untilAwake, untilReleased } from './turn.js';

/** Longer than most of what is asked about or changed in the schema takes. */
const META_PATIENCE_MS = 60_000;
/** The watch of the primary takes two, the apply loop one; the rest is for short looks at the catalog. */
const STREAM_CONNECTIONS = 6;
/** A verify reads in one, marks in another and looks again in a third; a sweep does with one. */
const RECONCILE_CONNECTIONS = 4;

export class Streamer implements StatusSource {
  readonly registry = new TableRegistry();
  readonly counters = zeroCounters();
  readonly link: TargetLink;
  /** For the stream itself: nobody keeps a connection of it while waiting for the stream. */
  readonly source: SourcePool;
  /** For loads and comparisons, which do. */
  readonly lanes: SourcePool;
  readonly store: TablesStore;
  readonly schema: SchemaService;
  /** Name of this process among those that may lead the stream. */
  readonly id = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
  readonly reconciler: Reconciler;
  readonly #options: StreamerOptions;
  readonly #abort = new AbortController();
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  readonly #situation: Situation;
  readonly #keeper: TableKeeper;
  readonly #rest: StreamAtRest;
  readonly #turn: TurnParts;
  readonly #leader: Leader;
  #report: SchemaReport | null = null;

  constructor(options: StreamerOptions) {
    this.#options = options;
    const { clock, log, primary, secondary, settings } = options;
    const { signal } = this.#abort;
    this.#situation = new Situation(clock, signal);
    const source = { ...primary, application_name: 'db-redundancy' };
    this.source = new SourcePool(source, STREAM_CONNECTIONS);
    this.lanes = new SourcePool(source, 2 * settings.loadConcurrency + 1 + RECONCILE_CONNECTIONS);
    const patience = new Patience(META_PATIENCE_MS);
    const meta = { ...secondary, application_name: 'db-redundancy meta' };
    this.link = new TargetLink({
      connect: () => TargetSession.connect(meta, patience, options.onStatement),
      ...{ clock, signal },
      backoff: new Backoff({ initialMs: 50, maxMs: 5000 }),
    });
    this.store = new TablesStore(this.link, settings.stream);
    const { link, registry, store } = this;
    this.schema = options.schema({
      ...{ source: this.source, link, store },
      untilVisible: (client) => untilVisible(client, this.session?.board.commits ?? null, clock, signal),
      onRelabeled: (change) => this.#keeper.relabeled(change),
    });
    this.#keeper = new TableKeeper({
      ...{ registry, store, clock, log },
      schema: this.schema,
      loadPending: () => this.session?.loadPending(),
      verifyOrders: (orders) => this.reconciler.setOrders(orders),
    });
    this.reconciler = new Reconciler({
      ...{ clock, link, log, registry, source: this.lanes, stream: settings.stream },
      schedule: options.reconcile ?? null,
      connectReader: () => TargetReader.connect(secondary),
      compared: (entry, fresh) => this.schema.compared(entry, fresh),
      resync: (table) => this.#keeper.resync(table),
      orderDone: (table, order) => store.verifyDone(table, order),
    });
    this.#rest = new StreamAtRest({
      ...{ clock, registry, reconcile: this.reconciler.state, rest: options.rest ?? ALWAYS_AWAKE },
      session: () => this.session,
      status: () => this.#situation.status,
      changed: () => this.nudge(),
    });
    this.#turn = {
      ...{ clock, link, log, signal, store, source: this.source, lanes: this.lanes, schema: this.schema },
      ...{ stream: settings.stream, slot: settings.slot, publication: settings.publication, tables: options.tables },
      ...{ rest: this.#rest, situation: this.#situation },
    };
    this.#leader = new Leader({
      ...this.#turn,
      ...{ options, registry, id: this.id, counters: this.counters, keeper: this.#keeper, reconciler: this.reconciler },
      onLead: () => this.#backoff.reset(),
    });
  }

  /** Null while this process does not lead. */
  get session(): StreamSession | null {
    return this.#leader.session;
  }

  /** The secondary's schema report of the set-up; null before it. */
  get report(): SchemaReport | null {
    return this.#report;
  }

  /**
   * Runs until `signal` is aborted (resolves). Rejects with a ConfigurationError that the first set-up finds; whatever
   * comes later is reported in the status and tried again.
   */
  async run(signal: AbortSignal): Promise<void> {
    const onAbort = () => {
      this.#abort.abort(signal.reason);
      // A statement of the set-up may wait for as long as somebody's transaction or a dead network likes.
      if (this.session === null) void this.source.close().catch(() => undefined);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      while (!this.#abort.signal.aborted) {
        try {
          await this.#takeTurn();
        } catch (error) {
          if (this.#abort.signal.aborted) break;
          if (error instanceof ConfigurationError && this.#report === null) throw error;
          await this.#pauseAfter(error);
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#rest.close();
      await this.session?.close();
      await Promise.all([this.link.close(), this.source.close(), this.lanes.close()]);
    }
  }

  snapshot(): StreamSnapshot {
    const { clock, settings } = this.#options;
    const { detail, epoch, ledger, slot, status } = this.#situation;
    return composeSnapshot({
      ...{ stream: settings.stream, status, detail, epoch, ledger, slot },
      connected: this.session?.connected ?? false,
      tables: this.registry.all(),
      deadLetters: this.registry.deadLetters,
      dropped: this.session?.dropped ?? 0,
      counters: this.counters,
      reconcile: this.reconciler.state,
      nowMs: clock.now(),
      rest: this.#rest.view(),
      wokenAtMs: this.#rest.wokenAtMs,
    });
  }

  ready(): { ready: boolean; reason: string } {
    return judgeReadiness(this.snapshot(), this.#situation.trouble);
  }

  /** The metadata on the secondary, for a command that leaves an order there before it runs. */
  async prepare(): Promise<void> {
    const { clock, log } = this.#options;
    await this.link.with((session) => migrate(session.client, 'secondary', clock, log));
  }

  /** Orders a table (null: all) to be made equal to the primary again; a paused table is taken up by it. */
  async resync(table: TableName | null): Promise<void> {
    await this.store.orderResync(table, { goOn: true });
    this.#rest.stir('order');
    await this.#keeper.readOrders(true);
  }

  /** Orders a table (null: all) to be verified. The process that leads the stream does it; results are in the status. */
  async orderVerify(table: TableName | null, order: VerifyOrder): Promise<void> {
    await this.store.orderVerify(table, order);
    this.#rest.stir('order');
    await this.#keeper.readOrders(true);
  }

  /** For a process that stands by, or only looks: what the leader has stored of tables, sweeps and verifies. */
  async refreshFromStore(): Promise<void> {
    await this.#keeper.load();
    await this.reconciler.state.load();
  }

  /** {@link compareCountsLoosely} */
  compareCountsLoosely(tables: readonly TableName[], signal: AbortSignal): Promise<CountResult[]> {
    return compareCountsLoosely({ source: this.source, link: this.link, clock: this.#options.clock, signal }, tables);
  }

  /** The controller has released the stream: looks now instead of at its next turn. */
  nudge(): void {
    this.#situation.nudge();
  }

  async #takeTurn(): Promise<void> {
    await untilAwake(this.#turn);
    await untilReleased(this.#turn);
    if (this.#report === null) {
      this.#situation.become('starting');
      this.#report = await setUp(this.#turn);
    }
    await this.#leader.lead();
  }

  async #pauseAfter(error: unknown): Promise<void> {
    const { status, detail, waitMs: fixed } = judgeEnd(error, this.#options.haltedRetryMs);
    this.#situation.become(status, detail);
    const waitMs = fixed ?? this.#backoff.next();
    this.counters.reconnects += 1;
    this.#options.log.warn({ err: error, waitMs }, 'Stream interrupted, resuming from the checkpoint');
    await this.#situation.doze(waitMs);
  }
}
