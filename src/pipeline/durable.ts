/**
 * The secondary as the stream's leader has it: one session, the checkpoint as it stands there, and work that is tried again
 * until it is durable. After an unclear outcome the checkpoint on the secondary decides whether it took effect (G3).
 */
import { type Checkpoint, checkpointStatement, readCheckpoint } from '../apply/checkpoint.js';
import type { SqlStatement, TargetSession } from '../apply/target-session.js';
import { FencedError, StreamHaltError } from '../core/errors.js';
import { classify, spoilsSession } from '../core/policy.js';
import type { DurableOptions } from './applier-options.js';
import { CheckpointMovedError, DataRefusedError, fenced, halted, throwIfMoved } from './apply-errors.js';

export class DurableTarget {
  readonly #options: DurableOptions;
  #session: TargetSession | null = null;
  /** The checkpoint as it stands on the secondary, as far as we know. */
  #at: Checkpoint;

  constructor(options: DurableOptions) {
    this.#options = options;
    this.#at = options.start;
  }

  /** Null while there is no connection. */
  get session(): TargetSession | null {
    return this.#session;
  }

  async connected(): Promise<TargetSession> {
    if (this.#session?.broken) this.#session = null;
    this.#session ??= await this.#options.connect();
    return this.#session;
  }

  /** The statement that moves the checkpoint from where it is; without an argument it stays there, its epoch checked. */
  checkpoint(to: Checkpoint = this.#at): SqlStatement {
    return checkpointStatement(this.#options.stream, this.#options.epoch, to, this.#at);
  }

  /** Sends that statement. @throws CheckpointMovedError */
  async moveCheckpoint(session: TargetSession, to?: Checkpoint): Promise<void> {
    await session.pipeline([this.checkpoint(to)]).catch((error: unknown) => {
      throwIfMoved(error, 0);
      throw error;
    });
  }

  /** A transaction that was not tried again, a large one, has committed with this checkpoint. */
  arrived(at: Checkpoint, session: TargetSession): void {
    this.#at = at;
    session.done();
  }

  /**
   * Retries `attempt` until it succeeds; after an unclear outcome the checkpoint on the secondary decides.
   * @param goal where a successful attempt leaves the checkpoint; null: where it is
   * @returns true when an attempt whose answer was lost turned out to have reached the goal
   */
  async untilDurable(goal: Checkpoint | null, attempt: (session: TargetSession) => Promise<void>): Promise<boolean> {
    const { signal } = this.#options;
    let unclear = false;
    for (;;) {
      signal.throwIfAborted();
      try {
        const session = await this.connected();
        if (unclear && (await this.#reread(session, goal))) {
          this.#recovered();
          return true;
        }
        unclear = false;
        await attempt(session);
        this.#at = goal ?? this.#at;
        this.#recovered();
        return false;
      } catch (error) {
        if (error instanceof FencedError || error instanceof StreamHaltError) throw error;
        unclear = true;
        if (error instanceof CheckpointMovedError) await this.#session?.rollback().catch(() => this.abandon());
        else await this.#waitAfter(error);
      }
    }
  }

  /**
   * Runs `work` in a target transaction that ends with the checkpoint's epoch check, with the pipeline's retry rules.
   * Throws DataRefusedError when the secondary refuses the rows.
   */
  async inTransaction(work: (session: TargetSession) => Promise<void>): Promise<void> {
    let refused: unknown = null;
    await this.untilDurable(null, async (session) => {
      try {
        await session.exec('BEGIN');
        // A former attempt whose COMMIT is still running holds this row: its effect is there before ours begins, or never.
        await session.run({
          text: 'SELECT epoch FROM db_redundancy.checkpoint WHERE stream = $1 FOR UPDATE',
          values: [this.#options.stream],
        });
        await work(session);
        await this.moveCheckpoint(session);
        await session.exec('COMMIT');
      } catch (error) {
        if (!session.broken) await session.rollback().catch(() => undefined);
        if (error instanceof CheckpointMovedError || classify(error).action !== 'bisect') throw error;
        refused = error;
      }
    });
    if (refused !== null) throw new DataRefusedError(refused);
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }

  /** Drops the connection at once: whatever is in flight is rolled back by the server. */
  abandon(): void {
    this.#session?.destroy();
    this.#session = null;
  }

  /** Where the checkpoint really is. True when it has reached the goal already. Throws FencedError when it is not ours. */
  async #reread(session: TargetSession, goal: Checkpoint | null): Promise<boolean> {
    const found = await readCheckpoint(session, this.#options.stream);
    if (!found || found.epoch !== this.#options.epoch) throw fenced(this.#options.epoch, found?.epoch ?? null);
    const moved = found.lsn !== this.#at.lsn || found.partialChanges !== this.#at.partialChanges;
    this.#at = found;
    return moved && goal !== null && found.lsn === goal.lsn && found.partialChanges === goal.partialChanges;
  }

  /** @throws StreamHaltError for what would be refused again */
  async #waitAfter(error: unknown): Promise<void> {
    const { backoff, clock, counters, log, onTrouble, signal } = this.#options;
    const verdict = classify(error);
    if (verdict.action === 'halt' || verdict.action === 'bisect') throw halted(error);
    counters.batchRetries += 1;
    if (this.#session && (this.#session.broken || spoilsSession(verdict))) this.abandon();
    else if (this.#session) await this.#session.rollback().catch(() => this.abandon());
    const waitMs = backoff.next();
    const reason = error instanceof Error ? error.message : String(error);
    onTrouble(`${reason} (${verdict.hint})`);
    log.warn({ sqlstate: verdict.sqlstate, err: error, waitMs }, 'Apply on the secondary failed and is tried again');
    await clock.sleep(waitMs, signal);
  }

  #recovered(): void {
    const { backoff, onTrouble } = this.#options;
    this.#session?.done();
    if (backoff.attempt > 0) {
      backoff.reset();
      onTrouble(null);
    }
  }
}
