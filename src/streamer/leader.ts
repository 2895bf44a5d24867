/** One process's leadership: aligns slot and publication, opens a session, takes the epoch, and stays until something ends it. */
import { readCheckpoint, takeLead } from '../apply/checkpoint.js';
import { Patience } from '../apply/patience.js';
import { TargetSession } from '../apply/target-session.js';
import { FencedError, StreamHaltError } from '../core/errors.js';
import type { StreamCounters } from '../core/status.js';
import type { TableEntry, TableRegistry } from '../pipeline/registry.js';
import type { Reconciler } from '../reconcile/reconciler.js';
import type { LoadTable } from '../snapshot/load-table.js';
import { untilVisible } from '../snapshot/visible.js';
import { BinaryFormError } from '../source/binary-tuples.js';
import { readSourceState } from '../source/slot.js';
import { derivedValues } from './derived-values.js';
import { type WatchParts, watchPrimary } from './primary-watch.js';
import { type SessionDependencies, StreamSession } from './session.js';
import { alignPublication, alignSlot } from './setup.js';
import type { StreamerOptions } from './streamer-options.js';
import type { TableKeeper } from './table-keeper.js';
import { type TurnParts, untilSlotIsFree } from './turn.js';
import { lookBeforeLoad } from './unannounced.js';

export interface LeaderParts extends TurnParts {
  readonly options: StreamerOptions;
  /** Name of this process among those that may lead the stream. */
  readonly id: string;
  readonly registry: TableRegistry;
  readonly counters: StreamCounters;
  readonly keeper: TableKeeper;
  readonly reconciler: Reconciler;
  /** The epoch is ours. */
  readonly onLead: () => void;
}

/** A batch that is under way when the process is told to stop gets so long to finish; then it is rolled back. */
const STOP_GRACE_MS = 5000;
/** Longer than a statement of the stream takes. */
const APPLY_PATIENCE_MS = 15_000;
const WATCH_INTERVAL_MS = 15_000;

export class Leader {
  readonly #parts: LeaderParts;
  readonly #patience = new Patience(APPLY_PATIENCE_MS);
  readonly #fingerprints = new Map<string, string>();
  #session: StreamSession | null = null;
  /** A type has come that is not known in binary, and may come again in what is read again. */
  #textOnly = false;

  constructor(parts: LeaderParts) {
    this.#parts = parts;
  }

  /** While this process leads. */
  get session(): StreamSession | null {
    return this.#session;
  }

  /**
   * Resolves when there is no need of the primary any more, or some time after it was told to stop. Rejects with what ended
   * the session; the next one starts from the checkpoint.
   */
  async lead(): Promise<void> {
    const { counters, keeper, link, signal, source, stream } = this.#parts;
    if (!(await untilSlotIsFree(this.#parts))) return;
    if (await alignSlot(this.#parts)) counters.fullSyncs += 1;
    await alignPublication(this.#parts);
    const start = await link.with((session) => readCheckpoint(session, stream));
    if (!start)
      throw new StreamHaltError('The checkpoint row has vanished from the secondary.', {
        code: 'checkpoint-missing',
        remedy: 'Run db:init-secondary.',
      });
    await keeper.load();
    const state = await source.use(readSourceState);
    const { options } = this.#parts;
    const session: StreamSession = new StreamSession(
      {
        ...options.settings,
        replication: { ...options.primary, application_name: 'db-redundancy stream' },
        ...(this.#textOnly ? { binary: false } : {}),
      },
      this.#dependencies(() => session),
      start,
    );
    const over = new AbortController();
    this.#parts.situation.trouble = null;
    try {
      await session.open(state);
      await this.#stay(session, state.currentLsn.toString(), AbortSignal.any([signal, over.signal]), over.signal);
    } catch (error) {
      this.#textOnly ||= error instanceof BinaryFormError;
      throw error;
    } finally {
      over.abort(new Error('The stream session has ended'));
      this.#session = null;
      await session.close();
    }
  }

  /** The slot is ours; now voids every former leader's epoch, sees how far it came, and runs. */
  async #stay(session: StreamSession, lsn: string, either: AbortSignal, over: AbortSignal): Promise<void> {
    const { id, link, log, onLead, reconciler, rest, signal, situation, slot, stream } = this.#parts;
    const epoch = await link.with((target) => takeLead(target, stream, id));
    situation.epoch = epoch;
    const current = await link.with((target) => readCheckpoint(target, stream));
    if (!current || current.epoch !== epoch)
      throw new FencedError('Another process took the stream over at the same moment.');
    this.#session = session;
    situation.ledger = session.ledger;
    onLead();
    situation.become('streaming');
    rest.attached();
    log.info({ epoch, lsn, slot }, `Streaming from slot ${slot} as epoch ${epoch}`);
    const watching = watchPrimary(this.#watchParts(), session, either);
    // Whoever loses the race ends with the session; its rejection is nobody's.
    watching.catch(() => undefined);
    const running = session.run(epoch, current);
    reconciler.run(session, either).catch((error: unknown) => {
      if (!either.aborted) log.error({ err: error }, 'Reconciliation has stopped');
    });
    const idle = rest.mayLetGo(session, either);
    idle.catch(() => undefined);
    await Promise.race([running, watching, afterAbort(signal, STOP_GRACE_MS, over), ignoringAbort(idle)]);
    if (rest.awake || signal.aborted) return;
    situation.freedSlot();
    log.info({ slot }, `Detached from slot ${slot}: there is nothing to do`);
    situation.become('detached');
  }

  #dependencies(session: () => StreamSession): SessionDependencies {
    const { clock, counters, keeper, lanes, link, log, options, registry, rest } = this.#parts;
    const { schema, signal, situation, source } = this.#parts;
    return {
      ...{ clock, counters, lanes, link, log, registry, signal },
      connectTarget: () =>
        TargetSession.connect(
          { ...options.secondary, application_name: 'db-redundancy apply' },
          this.#patience,
          options.onStatement,
        ),
      prepare: (relation) => keeper.prepare(relation),
      derive: (binding, rows) =>
        source.use((client) =>
          derivedValues(client, binding, rows, () => untilVisible(client, session().board.commits, clock, signal)),
        ),
      describe: (entry) => this.#describe(entry),
      refresh: (entry) => keeper.refresh(entry),
      relabeled: (entry) => schema.relabeled(entry),
      pauseTable: (entry, reason) => keeper.pause(entry, reason),
      onTrouble: (reason) => {
        situation.trouble = reason;
      },
      onChanges: () => rest.stir('changes'),
      levelAtMs: rest.levelAtMs,
      onRows: options.onRows ?? (() => undefined),
      breathMs: options.breathMs ?? (() => 0),
    };
  }

  async #describe(entry: TableEntry): Promise<LoadTable> {
    const { publication, schema, source, store } = this.#parts;
    const watch = { publication, seen: this.#fingerprints, store };
    await source.use((client) => lookBeforeLoad(client, watch, entry));
    return schema.describe(entry);
  }

  #watchParts(): WatchParts {
    const { clock, keeper, log, options, publication, registry, situation, slot, source, store } = this.#parts;
    return {
      ...{ clock, keeper, log, publication, registry, slot, source, store },
      intervalMs: options.watchIntervalMs ?? WATCH_INTERVAL_MS,
      fingerprints: this.#fingerprints,
      onSlot: (found) => situation.sawSlot(found),
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
