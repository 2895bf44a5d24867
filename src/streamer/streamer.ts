/**
 * The supervisor of a stream: sets up, waits until the slot is free, leads, and starts over from the checkpoint after
 * whatever ended a session. Holds what outlives sessions, and tells the world about it (StatusSource).
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { ClientBase, ClientConfig } from 'pg';
import { readCheckpoint, takeLead } from '../apply/checkpoint.js';
import { Patience } from '../apply/patience.js';
import { TargetSession } from '../apply/target-session.js';
import { Backoff } from '../core/backoff.js';
import type { Clock } from '../core/clock.js';
import { ALWAYS_AWAKE, type PrimaryRest, type RestView } from '../core/economy.js';
import { ConfigurationError, FencedError, StreamHaltError } from '../core/errors.js';
import { quoteTable, type TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import { sqlstateOf } from '../core/policy.js';
import type { StatusSource, StreamSnapshot, StreamStatus } from '../core/status.js';
import { migrate } from '../meta/migrate.js';
import { TargetLink } from '../meta/target-link.js';
import type { Ledger } from '../pipeline/ledger.js';
import { type TableEntry, TableRegistry } from '../pipeline/registry.js';
import type { ReconcileSchedule } from '../reconcile/parts.js';
import { Reconciler } from '../reconcile/reconciler.js';
import type { VerifyOrder } from '../reconcile/state.js';
import { TargetReader } from '../reconcile/target-reader.js';
import type { LoadTable } from '../snapshot/load-table.js';
import { untilVisible } from '../snapshot/visible.js';
import { BinaryFormError } from '../source/binary-tuples.js';
import { readSlot, readSourceState, type SlotInfo } from '../source/slot.js';
import { SourcePool } from '../source/sql-pool.js';
import type { CountResult } from './count-check.js';
import { zeroCounters } from './counters.js';
import { derivedValues } from './derived-values.js';
import { judgeEnd, STANDBY_POLL_MS } from './judge.js';
import type { Relabeled } from './label-keeper.js';
import { StreamAtRest } from './leave-alone.js';
import { type WatchParts, watchPrimary } from './primary-watch.js';
import type { SchemaReport, SchemaService } from './schema-service.js';
import { type SessionSettings, StreamSession } from './session.js';
import { alignPublication, alignSlot, type SetupContext, setUp } from './setup.js';
import { composeSnapshot, judgeReadiness } from './status.js';
import { TableKeeper } from './table-keeper.js';
import { TablesStore } from './tables-store.js';
import { lookBeforeLoad } from './unannounced.js';

export interface StreamerOptions {
  readonly primary: ClientConfig;
  readonly secondary: ClientConfig;
  readonly tables: readonly TableName[] | '*';
  readonly settings: Omit<SessionSettings, 'replication'>;
  readonly clock: Clock;
  readonly log: Log;
  /** How often slot, publication and tables are looked at on the primary; milliseconds, 15,000 by default. */
  readonly watchIntervalMs?: number;
  /** How soon a stream that has halted looks whether the cause was mended; milliseconds, 15,000 by default. */
  readonly haltedRetryMs?: number;
  /** Sweeps and verifies of their own accord; none by default, but those that are ordered. */
  readonly reconcile?: ReconcileSchedule;
  /** Whether the primary may be contacted: economy mode; always, by default. */
  readonly rest?: PrimaryRest & { view?: () => RestView };
  /** Told of each statement that is sent to the secondary. */
  readonly onStatement?: (text: string) => void;
  /** Between two target transactions; 0 by default. More gathers more changes into one, and makes the secondary late. */
  readonly breathMs?: () => number;
  readonly schema: (parts: {
    source: SourcePool;
    link: TargetLink;
    store: TablesStore;
    untilVisible: (client: ClientBase) => Promise<void>;
    onRelabeled: (change: Relabeled) => Promise<void>;
  }) => SchemaService;
}

/** A batch that is under way when the process is told to stop gets so long to finish; then it is rolled back. */
const STOP_GRACE_MS = 5000;
/** Longer than a statement of the stream takes, and (the second) than most of what is asked about or changed in the schema. */
const APPLY_PATIENCE_MS = 15_000;
const META_PATIENCE_MS = 60_000;
const WATCH_INTERVAL_MS = 15_000;
/** The watch of the primary takes two, the apply loop one; the rest is for short looks at the catalog. */
const STREAM_CONNECTIONS = 6;
/** A verify reads in one, marks in another and looks again in a third; a sweep does with one. */
const RECONCILE_CONNECTIONS = 4;
/** While the primary is left alone: so often the secondary is asked whether somebody has ordered something. */
const RESTING_POLL_MS = 60_000;
/** While it is held; the controller of the same process wakes the stream earlier. */
const HELD_POLL_MS = 5000;
/** Schema, table or column of the metadata are not there yet. */
const NOT_SET_UP = new Set(['3F000', '42P01', '42703']);

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
  readonly #rest: StreamAtRest;
  readonly #options: StreamerOptions;
  readonly #keeper: TableKeeper;
  readonly #abort = new AbortController();
  readonly #backoff = new Backoff({ initialMs: 200, maxMs: 10_000 });
  #status: StreamStatus = 'starting';
  #detail: string | null = null;
  #trouble: string | null = null;
  #wake: AbortController | null = null;
  readonly #applyPatience = new Patience(APPLY_PATIENCE_MS);
  #epoch: number | null = null;
  #session: StreamSession | null = null;
  /** Of the last session: what it knew is true until the next one knows better. */
  #ledger: Ledger | null = null;
  #slot: (SlotInfo & { readonly atMs: number }) | null = null;
  #report: SchemaReport | null = null;
  readonly #fingerprints = new Map<string, string>();
  /** A type has come that is not known in binary, and may come again in what is read again. */
  #textOnly = false;

  constructor(options: StreamerOptions) {
    this.#options = options;
    const { clock, primary, secondary } = options;
    const source = { ...primary, application_name: 'db-redundancy' };
    this.source = new SourcePool(source, STREAM_CONNECTIONS);
    this.lanes = new SourcePool(source, 2 * options.settings.loadConcurrency + 1 + RECONCILE_CONNECTIONS);
    const metaPatience = new Patience(META_PATIENCE_MS);
    this.link = new TargetLink({
      connect: () =>
        TargetSession.connect(
          { ...secondary, application_name: 'db-redundancy meta' },
          metaPatience,
          options.onStatement,
        ),
      clock,
      backoff: new Backoff({ initialMs: 50, maxMs: 5000 }),
      signal: this.#abort.signal,
    });
    this.store = new TablesStore(this.link, options.settings.stream);
    this.schema = options.schema({
      source: this.source,
      link: this.link,
      store: this.store,
      untilVisible: (client) => untilVisible(client, this.#session?.board.commits ?? null, clock, this.#abort.signal),
      onRelabeled: (change) => this.#keeper.relabeled(change),
    });
    this.#keeper = new TableKeeper({
      registry: this.registry,
      store: this.store,
      schema: this.schema,
      clock,
      log: options.log,
      loadPending: () => this.#session?.loadPending(),
      verifyOrders: (orders) => this.reconciler.setOrders(orders),
    });
    this.reconciler = new Reconciler({
      stream: options.settings.stream,
      ...{ clock, link: this.link, log: options.log, registry: this.registry, source: this.lanes },
      schedule: options.reconcile ?? null,
      connectReader: () => TargetReader.connect(secondary),
      compared: (entry, fresh) => this.schema.compared(entry, fresh),
      resync: (table) => this.#keeper.resync(table),
      orderDone: (table, order) => this.store.verifyDone(table, order),
    });
    this.#rest = new StreamAtRest({
      rest: options.rest ?? ALWAYS_AWAKE,
      ...{ clock, registry: this.registry, reconcile: this.reconciler.state },
      session: () => this.#session,
      status: () => this.#status,
      changed: () => this.nudge(),
    });
  }

  get session(): StreamSession | null {
    return this.#session;
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
      if (this.#session === null) void this.source.close().catch(() => undefined);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const { clock, log } = this.#options;
    try {
      while (!this.#abort.signal.aborted) {
        try {
          await this.#untilAwake();
          await this.#untilReleased();
          if (this.#report === null) {
            this.#become('starting');
            this.#report = await setUp(this.#context());
          }
          await this.#lead();
        } catch (error) {
          if (this.#abort.signal.aborted) break;
          if (error instanceof ConfigurationError && this.#report === null) throw error;
          this.#textOnly ||= error instanceof BinaryFormError;
          const { status, detail, waitMs: fixed } = judgeEnd(error, this.#options.haltedRetryMs);
          this.#become(status, detail);
          const waitMs = fixed ?? this.#backoff.next();
          this.counters.reconnects += 1;
          log.warn({ err: error, waitMs }, 'Stream interrupted, resuming from the checkpoint');
          this.#wake = new AbortController();
          const signal = AbortSignal.any([this.#abort.signal, this.#wake.signal]);
          await clock.sleep(waitMs, signal).catch(() => undefined);
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#rest.close();
      await this.#session?.close();
      await Promise.all([this.link.close(), this.source.close(), this.lanes.close()]);
    }
  }

  snapshot(): StreamSnapshot {
    const { clock, settings } = this.#options;
    const session = this.#session;
    return composeSnapshot({
      stream: settings.stream,
      status: this.#status,
      detail: this.#trouble ?? this.#detail,
      epoch: this.#epoch,
      ledger: this.#ledger,
      connected: session?.connected ?? false,
      slot: this.#slot,
      tables: this.registry.all(),
      deadLetters: this.registry.deadLetters,
      dropped: session?.dropped ?? 0,
      counters: this.counters,
      reconcile: this.reconciler.state,
      nowMs: clock.now(),
      rest: this.#rest.view(),
      wokenAtMs: this.#rest.wokenAtMs,
    });
  }

  ready(): { ready: boolean; reason: string } {
    return judgeReadiness(this.snapshot(), this.#trouble);
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

  /** Counts of both sides where another process leads: repeated until they agree, or for half a minute. */
  async compareCountsLoosely(tables: readonly TableName[], signal: AbortSignal): Promise<CountResult[]> {
    for (let attempt = 0; ; attempt++) {
      const results: CountResult[] = [];
      for (const { schema, name } of tables) {
        const text = `SELECT count(*)::text AS n FROM ${quoteTable(schema, name)}`;
        const primary = await this.source.use(async (client) =>
          Number((await client.query<{ n: string }>(text)).rows[0]?.n),
        );
        const secondary = Number((await this.link.run(text)).rows[0]?.n);
        results.push({ schema, name, primary, secondary });
      }
      if (attempt >= 30 || results.every((result) => result.primary === result.secondary)) return results;
      await this.#options.clock.sleep(1000, signal);
    }
  }

  /** The controller has released the stream: looks now instead of at its next turn. */
  nudge(): void {
    this.#wake?.abort();
  }

  /**
   * While the primary is left alone nothing of the stream reaches it. Whoever has ordered something, in whatever process,
   * is heard within a minute.
   */
  async #untilAwake(): Promise<void> {
    const { clock } = this.#options;
    const signal = this.#abort.signal;
    if (this.#rest.awake) return;
    await Promise.all([this.source.letGo(), this.lanes.letGo()]);
    while (!this.#rest.awake) {
      if (this.#rest.mode === 'elsewhere')
        this.#become(
          'standby',
          'Another controller leads, and the stream runs in its process; this one takes over with it.',
        );
      else
        this.#become(
          'detached',
          'The application is idle: the slot is free, and nothing of the stream reaches the primary.',
        );
      this.#wake = new AbortController();
      const woken = AbortSignal.any([signal, this.#wake.signal]);
      await clock.sleep(RESTING_POLL_MS, woken).catch(() => undefined);
      signal.throwIfAborted();
      if (this.#rest.mode === 'resting' && (await this.store.hasOrders())) this.#rest.stir('order');
    }
    if (this.#status === 'standby') this.#become('starting');
  }

  /**
   * While the secondary is active nothing is read or written here: not the slot, whose tail is the recovery's, nor the
   * tables, which are the application's.
   */
  async #untilReleased(): Promise<void> {
    const { clock, log, settings } = this.#options;
    for (let first = true; ; first = false) {
      const held = await this.link
        .with((session) => readCheckpoint(session, settings.stream))
        .then((row) => row?.held ?? null)
        .catch((error: unknown) => {
          // Before the first migration there is nothing that could be held.
          if (NOT_SET_UP.has(sqlstateOf(error) ?? '')) return null;
          throw error;
        });
      if (held === null) return;
      if (first) log.info({ held }, `The stream is held: ${held}`);
      this.#become('fenced', `The stream is held: ${held}. It goes on by itself after the failback.`);
      this.#wake = new AbortController();
      const signal = AbortSignal.any([this.#abort.signal, this.#wake.signal]);
      await clock.sleep(HELD_POLL_MS, signal).catch(() => undefined);
      this.#abort.signal.throwIfAborted();
    }
  }

  async #lead(): Promise<void> {
    const { clock, log, settings } = this.#options;
    const signal = this.#abort.signal;
    if (!(await this.#waitForSlot(signal))) return;
    if (await alignSlot(this.#context())) this.counters.fullSyncs += 1;
    await alignPublication(this.#context());
    const start = await this.link.with((session) => readCheckpoint(session, settings.stream));
    if (!start)
      throw new StreamHaltError('The checkpoint row has vanished from the secondary.', {
        code: 'checkpoint-missing',
        remedy: 'Run db:init-secondary.',
      });
    await this.#keeper.load();
    const source = await this.source.use(readSourceState);
    const session = new StreamSession(
      {
        ...settings,
        replication: { ...this.#options.primary, application_name: 'db-redundancy stream' },
        ...(this.#textOnly ? { binary: false } : {}),
      },
      {
        lanes: this.lanes,
        link: this.link,
        connectTarget: () =>
          TargetSession.connect(
            { ...this.#options.secondary, application_name: 'db-redundancy apply' },
            this.#applyPatience,
            this.#options.onStatement,
          ),
        registry: this.registry,
        counters: this.counters,
        clock,
        log,
        signal,
        prepare: (relation) => this.#keeper.prepare(relation),
        derive: (binding, rows) =>
          this.source.use((client) =>
            derivedValues(client, binding, rows, () => untilVisible(client, session.board.commits, clock, signal)),
          ),
        describe: (entry) => this.#describe(entry),
        refresh: (entry) => this.#keeper.refresh(entry),
        relabeled: (entry) => this.schema.relabeled(entry),
        pauseTable: (entry, reason) => this.#keeper.pause(entry, reason),
        onTrouble: (reason) => {
          this.#trouble = reason;
        },
        onChanges: () => this.#rest.stir('changes'),
        levelAtMs: this.#rest.levelAtMs,
        breathMs: this.#options.breathMs ?? (() => 0),
      },
      start,
    );
    const over = new AbortController();
    this.#trouble = null;
    try {
      await session.open(source);
      // From here on the slot is ours; now void every former leader's epoch, and see how far it came.
      this.#epoch = await this.link.with((target) => takeLead(target, settings.stream, this.id));
      const current = await this.link.with((target) => readCheckpoint(target, settings.stream));
      if (!current || current.epoch !== this.#epoch)
        throw new FencedError('Another process took the stream over at the same moment.');
      this.#session = session;
      this.#ledger = session.ledger;
      this.#backoff.reset();
      this.#become('streaming');
      this.#rest.attached();
      log.info(
        { epoch: this.#epoch, lsn: source.currentLsn.toString(), slot: settings.slot },
        `Streaming from slot ${settings.slot} as epoch ${this.#epoch}`,
      );
      const watching = watchPrimary(this.#watchParts(), session, AbortSignal.any([signal, over.signal]));
      // Whoever loses the race ends with the session; its rejection is nobody's.
      watching.catch(() => undefined);
      const running = session.run(this.#epoch, current);
      this.reconciler.run(session, AbortSignal.any([signal, over.signal])).catch((error: unknown) => {
        if (!over.signal.aborted && !signal.aborted) log.error({ err: error }, 'Reconciliation has stopped');
      });
      const idle = this.#rest.mayLetGo(session, AbortSignal.any([signal, over.signal]));
      idle.catch(() => undefined);
      await Promise.race([running, watching, afterAbort(signal, STOP_GRACE_MS, over.signal), ignoringAbort(idle)]);
      if (!this.#rest.awake && !signal.aborted) {
        this.#slot = this.#slot && { ...this.#slot, active: false };
        log.info({ slot: settings.slot }, `Detached from slot ${settings.slot}: there is nothing to do`);
        this.#become('detached');
      }
    } finally {
      over.abort(new Error('The stream session has ended'));
      this.#session = null;
      await session.close();
    }
  }

  /**
   * One process streams; the others look once a second whether the slot is free. Costs the secondary nothing.
   * @returns false when the primary is to be left alone meanwhile
   */
  async #waitForSlot(signal: AbortSignal): Promise<boolean> {
    const { clock, log, settings } = this.#options;
    for (let first = true; ; first = false) {
      const slot = await this.source.use((client) => readSlot(client, settings.slot));
      this.#noteSlot(slot);
      if (!slot?.active) return true;
      if (first)
        log.info(
          { slot: settings.slot },
          `Slot ${settings.slot} is in use by another process; standing by to take over`,
        );
      this.#become(
        'standby',
        `Slot ${settings.slot} is in use by another process; this one takes over when it is free.`,
      );
      await clock.sleep(STANDBY_POLL_MS, signal);
      if (!this.#rest.awake) return false;
    }
  }

  async #describe(entry: TableEntry): Promise<LoadTable> {
    const { publication } = this.#options.settings;
    const watch = { publication, seen: this.#fingerprints, store: this.store };
    await this.source.use((client) => lookBeforeLoad(client, watch, entry));
    return this.schema.describe(entry);
  }

  #noteSlot(slot: SlotInfo | null): void {
    this.#slot = slot && { ...slot, atMs: this.#options.clock.now() };
  }

  #become(status: StreamStatus, detail: string | null = null): void {
    this.#status = status;
    this.#detail = detail;
  }

  #watchParts(): WatchParts {
    const { clock, log, settings, watchIntervalMs = WATCH_INTERVAL_MS } = this.#options;
    return {
      source: this.source,
      store: this.store,
      registry: this.registry,
      keeper: this.#keeper,
      clock,
      log,
      slot: settings.slot,
      publication: settings.publication,
      intervalMs: watchIntervalMs,
      fingerprints: this.#fingerprints,
      onSlot: (slot) => this.#noteSlot(slot),
    };
  }

  #context(): SetupContext {
    const { clock, log, settings, tables } = this.#options;
    const { stream, slot, publication } = settings;
    return {
      stream,
      slot,
      publication,
      tables,
      source: this.source,
      link: this.link,
      store: this.store,
      schema: this.schema,
      clock,
      log,
      signal: this.#abort.signal,
    };
  }
}

/** Never settles when the work was told to stop: what told it decides. */
function ignoringAbort(work: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    work.then(resolve, () => undefined);
  });
}

/** Resolves some time after the signal was aborted; never without that. */
function afterAbort(signal: AbortSignal, graceMs: number, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const begin = () => setTimeout(resolve, graceMs).unref();
    if (signal.aborted) begin();
    else signal.addEventListener('abort', begin, { once: true, signal: over });
  });
}
