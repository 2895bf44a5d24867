/**
 * One leadership of a stream: from an open slot to whatever ends it. Everything that runs in it shares one abort signal,
 * and the first error ends all of it; the next session starts from the checkpoint.
 */
import { randomUUID } from 'node:crypto';
import type { ClientConfig } from 'pg';
import type { CheckpointRow } from '../apply/checkpoint.js';
import type { TargetSession } from '../apply/target-session.js';
import { Backoff } from '../core/backoff.js';
import type { Relation } from '../core/change.js';
import type { Clock } from '../core/clock.js';
import { displayName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { RowsKind, StreamCounters } from '../core/status.js';
import type { TargetLink } from '../meta/target-link.js';
import { Applier } from '../pipeline/applier.js';
import { Assembler } from '../pipeline/assemble.js';
import type { Deriver } from '../pipeline/derive.js';
import { DEFAULT_IDLE_POLICY, Ledger } from '../pipeline/ledger.js';
import { EntryQueue } from '../pipeline/queue.js';
import type { TableEntry, TableRegistry } from '../pipeline/registry.js';
import { ApplyLoop } from '../pipeline/run.js';
import type { Key } from '../snapshot/chunk-reader.js';
import type { LoadTable } from '../snapshot/load-table.js';
import { keyTexts } from '../snapshot/load-table.js';
import { Loader } from '../snapshot/loader.js';
import { ProgressStore } from '../snapshot/progress.js';
import { untilSettled } from '../snapshot/visible.js';
import { WatermarkBoard } from '../snapshot/watermarks.js';
import type { ReplicationSession } from '../source/replication-session.js';
import { openReplicationSession } from '../source/replication-session.js';
import type { SourceState } from '../source/slot.js';
import type { SourcePool } from '../source/sql-pool.js';
import { statusIntervalMs } from '../source/standby-status.js';

export interface SessionSettings {
  readonly stream: string;
  readonly slot: string;
  readonly publication: string;
  readonly replication: ClientConfig;
  readonly maxRows: number;
  readonly onError: 'pause-table' | 'halt';
  readonly largeTransactions: 'atomic' | 'chunked';
  readonly loadConcurrency: number;
  /** Whether values may travel in binary to a secondary that takes them so; true by default. */
  readonly binary?: boolean;
}

export interface SessionDependencies {
  /** For loads, which wait for the apply loop with a connection in their hands: the loop itself must not need one of these. */
  readonly lanes: SourcePool;
  readonly link: TargetLink;
  readonly connectTarget: () => Promise<TargetSession>;
  readonly registry: TableRegistry;
  readonly counters: StreamCounters;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly prepare: (relation: Relation) => Promise<void>;
  readonly derive: Deriver;
  readonly describe: (entry: TableEntry) => Promise<LoadTable>;
  readonly refresh: (entry: TableEntry) => Promise<boolean>;
  readonly relabeled: (entry: TableEntry) => Promise<boolean>;
  readonly pauseTable: (entry: TableEntry, reason: string) => Promise<void>;
  readonly onTrouble: (reason: string | null) => void;
  /** Somebody has changed rows of the stream's tables. */
  readonly onChanges: () => void;
  /** Wall clock: until then nobody used the primary since the secondary was level with it; null: not known. */
  readonly levelAtMs: number | null;
  readonly onRows: (kind: RowsKind) => void;
  /** How long to wait between two target transactions. */
  readonly breathMs: () => number;
}

/**
 * Rows waiting in memory: enough to keep the target busy. With more of them alive at a time the collector of garbage
 * takes as much time again as all the rest (docs/decisions/0011-performance.md).
 */
const QUEUE = { highBytes: 1 << 20, lowBytes: 512 << 10 };
/** Rows in binary are some words beside their bytes. Batches are larger so, and who works waits less for who does not. */
const BINARY_QUEUE = { highBytes: 3 << 20, lowBytes: 2 << 20 };
const BATCH_BYTES = 4 << 20;
/** Of a large transaction that takes effect as a whole; one that does in chunks has them of a batch's size. */
const PART_BYTES = 640 << 10;
const CAUGHT_UP_SECONDS = 10;
/** Bytes behind the stored position; an idle stream looks then, and need not wait for its time. */
const WAL_OF_OTHERS = BigInt(DEFAULT_IDLE_POLICY.maxBytes);
/** Three seconds for one statement. */
const STORE_ATTEMPTS = 30;
const STORE_POLL_MS = 100;

export class StreamSession {
  readonly ledger: Ledger;
  /** Once it runs: resolves when rows may be read between watermarks. */
  settled: Promise<void> = Promise.resolve();
  readonly #settings: SessionSettings;
  readonly #deps: SessionDependencies;
  readonly #abort = new AbortController();
  readonly #board: WatermarkBoard;
  readonly #queue: EntryQueue;
  readonly #assembler: Assembler;
  readonly #start: CheckpointRow;
  #wire: ReplicationSession | null = null;
  /** Inserts go to the secondary as the bytes that they came in. */
  #copiesBytes = false;
  /** A batch is on its way to the secondary. */
  #inFlight = false;
  #applier: Applier | null = null;
  #loader: Loader | null = null;

  constructor(settings: SessionSettings, deps: SessionDependencies, start: CheckpointRow) {
    this.#settings = settings;
    this.#deps = deps;
    this.#start = start;
    this.ledger = new Ledger(start.lsn);
    this.ledger.caughtUpAtMs = start.commitAtMs;
    this.#board = new WatermarkBoard(settings.stream, randomUUID());
    this.#queue = new EntryQueue(QUEUE, { pause: () => this.#wire?.pause(), resume: () => this.#wire?.resume() });
    this.#assembler = new Assembler({
      durable: start.lsn,
      partRows: settings.maxRows,
      partBytes: settings.largeTransactions === 'chunked' ? BATCH_BYTES : PART_BYTES,
      emit: (entry) => {
        const { ledger } = this;
        ledger.heard(
          entry.kind === 'watermark' ? entry.lsn : (entry.commit?.endLsn ?? entry.commitLsn),
          deps.clock.now(),
        );
        if (entry.kind === 'transaction') {
          if (entry.changes.length > 0) deps.onChanges();
          deps.counters.changesReceived += entry.changes.length;
          ledger.changesReceived += entry.changes.length;
          ledger.oldestUnappliedAtMs ??= entry.commitAtMs;
        }
        ledger.busy = true;
        deps.onRows(entry.kind === 'transaction' && this.#copiesBytes && !this.loading ? 'copied-bytes' : 'others');
        this.#queue.push(entry);
      },
      onEcho: () => {
        deps.counters.echoTransactionsSkipped += 1;
      },
    });
  }

  get connected(): boolean {
    return this.#wire !== null && !this.#abort.signal.aborted;
  }

  /** Opens the slot. Rejects with 55006 while another process holds it. */
  async open(source: SourceState): Promise<void> {
    const { clock, counters, levelAtMs } = this.#deps;
    const { commitAtMs } = this.#start;
    this.ledger.begins(source.currentLsn, levelAtMs === null ? commitAtMs : Math.max(levelAtMs, commitAtMs ?? 0));
    const { binaryElements, copyInserts, wideReals } = await this.#deps.link.with(async (session) => session.dialect);
    this.#wire = await openReplicationSession({
      connection: this.#settings.replication,
      slot: this.#settings.slot,
      publication: this.#settings.publication,
      startLsn: this.#start.lsn,
      statusIntervalMs: statusIntervalMs(source.walSenderTimeoutMs),
      serverVersion: source.serverVersion,
      signal: this.#deps.signal,
      rawInserts: true,
      binary: (this.#settings.binary ?? true) && binaryElements.size > 0,
      realsAsText: wideReals,
      gathers: () => this.#inFlight,
      handler: {
        message: (message, bytes) => {
          counters.bytesReceived += bytes;
          this.#assembler.message(message, bytes);
        },
        keepalive: (lsn, serverNowMs, replyRequested) => {
          const { ledger } = this;
          const now = clock.now();
          ledger.heard(lsn, now);
          ledger.clockOffsetMs = serverNowMs - now;
          ledger.asked ||= replyRequested;
          if (this.#assembler.inTransaction) return;
          if (this.#queue.length === 0 && !ledger.busy) ledger.idle(lsn, now);
          else ledger.idleNext(lsn, now);
          // Much was written that is not ours, or the server waits for an answer.
          if (ledger.asked || ledger.applied - ledger.durable >= WAL_OF_OTHERS) this.#queue.nudge();
        },
      },
    });
    if (this.#wire.binary) this.#queue.limit(BINARY_QUEUE);
    this.#copiesBytes = copyInserts;
  }

  /**
   * Applies until the signal is aborted (resolves) or something ends the stream (rejects with it).
   * @param epoch ours, taken after the slot was opened
   * @param current the checkpoint as it was when the epoch was taken: the former leader may have moved it meanwhile
   */
  async run(epoch: number, current: CheckpointRow): Promise<void> {
    const { settings, deps } = { settings: this.#settings, deps: this.#deps };
    const signal = AbortSignal.any([deps.signal, this.#abort.signal]);
    this.ledger.durableThrough(current.lsn);
    this.#assembler.durable = current.lsn;
    this.ledger.changesSettled += this.#queue.dropBefore(current.lsn);
    const applier = new Applier({
      stream: settings.stream,
      epoch,
      connect: deps.connectTarget,
      registry: deps.registry,
      onError: settings.onError,
      log: deps.log,
      clock: deps.clock,
      backoff: new Backoff({ initialMs: 50, maxMs: 5000 }),
      counters: deps.counters,
      signal,
      onMissing: (binding, rows) =>
        this.#onMissing(
          deps.registry.get(binding.relation),
          rows.map((row) => keyTexts(binding, row)),
        ),
      refresh: deps.refresh,
      relabeled: deps.relabeled,
      pauseTable: deps.pauseTable,
      onApplied: (parts, steps) => this.#board.note(parts, steps),
      onTrouble: deps.onTrouble,
      start: current,
    });
    this.#applier = applier;
    this.settled = deps.lanes.use((client) => untilSettled(client, deps.clock, signal));
    this.settled.catch((error: unknown) => this.#fail(error));
    this.#loader = new Loader({
      settled: this.settled,
      source: deps.lanes,
      link: deps.link,
      progress: new ProgressStore(deps.link, settings.stream),
      applier,
      board: this.#board,
      log: deps.log,
      clock: deps.clock,
      counters: deps.counters,
      signal,
      concurrency: settings.loadConcurrency,
      publication: settings.publication,
      describe: deps.describe,
      relabeled: deps.relabeled,
      refresh: deps.refresh,
      onRefused: (entry, error) =>
        deps.pauseTable(
          entry,
          `its rows were refused by the secondary: ${error instanceof Error ? error.message : error}`,
        ),
      onUnreadable: (entry, error) =>
        deps.pauseTable(entry, `it cannot be loaded: ${error instanceof Error ? error.message : error}`),
    });
    const loop = new ApplyLoop({
      queue: this.#queue,
      applier,
      registry: deps.registry,
      ledger: this.ledger,
      limits: { maxRows: settings.maxRows, maxBytes: BATCH_BYTES },
      largeTransactions: settings.largeTransactions,
      idlePolicy: DEFAULT_IDLE_POLICY,
      clock: deps.clock,
      counters: deps.counters,
      start: current,
      prepare: deps.prepare,
      derive: deps.derive,
      onWatermark: (entry) => this.#board.arrived(entry),
      onCommit: (xid) => this.#board.commits.add(xid),
      confirm: (lsn) => this.#wire?.confirm(lsn),
      breathMs: deps.breathMs,
      onFlight: (inFlight) => {
        this.#inFlight = inFlight;
        if (!inFlight) this.#wire?.readOn();
      },
    });
    const wire = this.#wire;
    if (!wire) throw new RangeError('The session was not opened.');
    this.loadPending();
    try {
      await Promise.race([loop.run(signal), wire.ended, this.#failed]);
    } finally {
      this.#abort.abort(new Error('The stream session has ended'));
      this.#board.close(new Error('The stream session has ended'));
      this.#queue.close();
    }
  }

  /** G9: changes received and never settled. */
  get dropped(): number {
    return this.ledger.unaccounted(this.#queue.length);
  }

  /** Starts loading what waits for it. Safe to call at any time. */
  loadPending(): void {
    for (const entry of this.#deps.registry.all()) {
      if (entry.state !== 'pending' && entry.state !== 'loading') continue;
      this.#loader?.load(entry).catch((error: unknown) => this.#fail(error));
    }
  }

  get loading(): boolean {
    return this.#loader?.busy ?? false;
  }

  /** A round of the board without a chunk: resolves with what `work` gives, at an exact position of the stream. */
  get board(): WatermarkBoard {
    return this.#board;
  }

  /** Not further behind than a moment: what differs now is not just on its way. */
  caughtUp(): boolean {
    const { clock } = this.#deps;
    return this.connected && this.#loader !== null && this.ledger.lagSeconds(clock.now(), true) <= CAUGHT_UP_SECONDS;
  }

  /** Why the session must not be left alone now; null: everything that the primary has said is applied. */
  get unfinished(): string | null {
    const { ledger } = this;
    if (!this.connected) return 'the slot is not open';
    if (this.loading) return 'rows are being loaded or repaired';
    if (this.#queue.length > 0 || ledger.busy || ledger.oldestUnappliedAtMs !== null)
      return 'changes are being applied';
    if (this.#assembler.inTransaction) return 'a transaction is arriving';
    if (ledger.lagBytes() > 0) return 'the stream is not level with the primary';
    return null;
  }

  /** Stores the position of a stream that has nothing to do, so that the next session begins there. */
  async storePosition(signal: AbortSignal): Promise<void> {
    const { ledger } = this;
    for (let attempt = 0; ledger.durable < ledger.applied && attempt < STORE_ATTEMPTS; attempt++) {
      ledger.asked = true;
      await this.#deps.clock.sleep(STORE_POLL_MS, signal);
    }
  }

  /** Makes the secondary equal for these keys, through the watermark path. */
  async repair(entry: TableEntry, keys: readonly Key[]): Promise<void> {
    if (!this.#loader) throw new RangeError('The session does not run yet.');
    await this.#loader.repair(entry, keys);
  }

  async close(): Promise<void> {
    this.#abort.abort(new Error('The stream session was closed'));
    this.#board.close(new Error('The stream session was closed'));
    this.#queue.close();
    await Promise.all([this.#wire?.close(), this.#applier?.close()]);
  }

  #rejectFailed: (error: unknown) => void = () => undefined;
  readonly #failed = this.#failure();

  #failure(): Promise<never> {
    const promise = new Promise<never>((_, reject) => {
      this.#rejectFailed = reject;
    });
    promise.catch(() => undefined);
    return promise;
  }

  #fail(error: unknown): void {
    if (!this.#abort.signal.aborted) this.#rejectFailed(error);
  }

  #onMissing(entry: TableEntry | undefined, keys: readonly (readonly string[])[]): void {
    // While a table loads, rows that are not there yet are expected: their chunk brings them.
    if (entry?.state !== 'streaming') return;
    this.#deps.counters.missingRowsRepaired += keys.length;
    this.#deps.log.warn(
      { table: displayName(entry), keys: keys.length },
      `Rows of ${displayName(entry)} were missing on the secondary; they are read again from the primary`,
    );
    this.#loader?.repair(entry, keys).catch((error: unknown) => this.#fail(error));
  }
}
