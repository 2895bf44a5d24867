import { type ClientConfig, type PoolConfig, Query, type QueryResult, Result } from 'pg';
import type { Side } from '../core/route.js';
import { type Activities, isWriteTag } from './activity.js';
import { NotSentError, OutcomeUnknownError, TransactionLostError } from './errors.js';
import type { Gate } from './gate.js';
import { BaseClient, type QueuedQuery, type ServerMessage, type Wire } from './pg-internals.js';
import { isPlainRollback, mayHaveCommitted } from './statements.js';

/** Sent by a server that ends the session, whatever the language of its severity. */
const ENDS_SESSION = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04']);

type Callback = (error: Error | null, result?: unknown) => void;

/** What a connection asks of its router, and tells it. */
export interface ClientRouter {
  readonly gate: Gate;
  readonly activity: Activities;
  /** Whether somebody waits to hear that nothing of a lower epoch is under way. */
  readonly awaitsIdle: boolean;
  add(client: RoutedClient): void;
  remove(client: RoutedClient): void;
  /** The client's next statement waits; `resume` or `refuse` ends that. */
  hold(client: RoutedClient): void;
  /** The connection is gone; `ended` is the error of what was under way, if anything was. */
  lost(client: RoutedClient, ended: Error | null): void;
  /** Nothing is under way on the client any more. */
  settled(): void;
  /** The reason for taking a connection away from a side that is not active. */
  flipped(): Error;
}

/**
 * A pg.Client on one side of the route. It differs from pg's in four places: a statement is held or refused at the
 * moment at which it would be sent; what a lost connection had under way ends with the error that says what is known;
 * ROLLBACK on a lost connection succeeds; and an error that nobody listens to does not end the process.
 */
export class RoutedClient extends BaseClient {
  /** Which database it was made for; that of the route at `connect`, for a client outside of a pool. */
  side: Side;
  /** The epoch under which the present work was begun. */
  workEpoch = 0;
  /** Monotonic time since which its next statement waits for the end of a hold; 0: none waits. */
  heldSinceMs = 0;
  readonly #router: ClientRouter;
  #lost: Error | null = null;
  #cutReason: Error | null = null;
  #wroteInTransaction = false;
  /** A statement was under way when the connection was lost. */
  #lostStatement = false;

  constructor(router: ClientRouter, side: Side, config: string | PoolConfig | ClientConfig | undefined) {
    super(config as ClientConfig);
    this.#router = router;
    this.side = side;
  }

  /** Something is under way, or a transaction is open. */
  get busy(): boolean {
    if (this.#lost !== null || this.readyForQuery === undefined) return false;
    const status = this._txStatus;
    if (status === 'T' || status === 'E' || this.readyForQuery !== true) return true;
    return this._sentQueryQueue.length > 0 || (this._queryQueue.length > 0 && this.heldSinceMs === 0);
  }

  /** False when the connection is known to be of no use any more. */
  get usable(): boolean {
    const { stream } = this.connection as unknown as Wire;
    return this.#lost === null && this._queryable && !this._ending && !stream.destroyed && stream.writable;
  }

  get inTransaction(): boolean {
    return this._txStatus === 'T' || this._txStatus === 'E';
  }

  /** Takes the connection away. What is under way ends with the error that its state calls for. */
  cut(reason: Error): void {
    if (this.#lost !== null) return;
    this.#cutReason = reason;
    this._queryable = false;
    // First, so that a library that keeps connections itself does not take this one for its next attempt.
    process.nextTick(() => this.#announce());
    this._errorAllQueries(reason);
    (this.connection as unknown as Wire).stream.destroy();
  }

  /** A connection attempt to a side that is not active any more ends now. */
  abandon(): void {
    if (this._connecting) (this.connection as unknown as Wire).stream.destroy();
  }

  /** After `end()`: what is written goes out, then the socket closes without waiting for the other end. */
  letGo(): void {
    const { stream } = this.connection as unknown as Wire;
    if (stream.destroySoon) stream.destroySoon();
    else stream.destroy();
  }

  override connect(): Promise<this>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<this> | undefined {
    this.#router.add(this);
    this.once('end', () => this.#router.remove(this));
    if (callback) return void super.connect(callback);
    return super.connect() as Promise<this>;
  }

  static {
    // pg declares nine overloads, and its own implementation is one function of three arguments: so is this.
    const ofPg = BaseClient.prototype.query as (this: RoutedClient, ...args: [unknown, unknown, unknown]) => unknown;
    RoutedClient.prototype.query = function (this: RoutedClient, config: unknown, values: unknown, callback: unknown) {
      if (this.#lost === null) return ofPg.call(this, config, values, callback);
      return this.#queryLost(config, values, callback);
    } as RoutedClient['query'];
  }

  /** Every statement passes here right before its bytes are written; also those that waited behind another. */
  protected override _pulseQueryQueue(): void {
    const waiting = this._queryQueue.length > 0 && (this.readyForQuery === true || this.pipeline);
    if (!waiting || this.#permitted()) super._pulseQueryQueue();
  }

  #permitted(): boolean {
    const { gate } = this.#router;
    if (gate.permits(this.side)) {
      this.heldSinceMs = 0;
      if (this._txStatus === 'I' && this.readyForQuery === true) this.workEpoch = gate.epoch;
      return true;
    }
    // It keeps nothing, so it may go wherever the connection leads.
    if (this.inTransaction && isPlainRollback(this._queryQueue[0]?.text)) return true;
    switch (gate.judge(this.side, this.inTransaction)) {
      case 'run':
        this.heldSinceMs = 0;
        return true;
      case 'wait':
        this.#router.hold(this);
        return false;
      case 'gone':
        this.cut(this.#router.flipped());
        return false;
    }
  }

  /** After the end of a hold, or of a lapse. */
  resume(): void {
    this._pulseQueryQueue();
  }

  /** What waits to be sent is sent no more. */
  refuse(error: Error): void {
    this.heldSinceMs = 0;
    for (const query of this._queryQueue.splice(0)) this.#fail(query, error);
  }

  protected override _handleReadyForQuery(message: { status?: 'I' | 'T' | 'E' | null }): void {
    super._handleReadyForQuery(message);
    if (this.#router.awaitsIdle && !this.busy) this.#router.settled();
  }

  protected override _handleCommandComplete(message: { text: string }): void {
    const activity = this.#router.activity[this.side];
    activity.ok();
    if (isWriteTag(message.text)) {
      if (this._txStatus === 'I') activity.wrote();
      else this.#wroteInTransaction = true;
    } else if (this.#wroteInTransaction && this._txStatus !== 'I') {
      // A write inside of a transaction counts at its COMMIT.
      if (message.text === 'COMMIT') activity.wrote();
      if (message.text === 'COMMIT' || message.text === 'ROLLBACK') this.#wroteInTransaction = false;
    }
    super._handleCommandComplete(message);
  }

  /** An answer that ends the session is a loss of the connection, with what was under way. */
  protected override _handleErrorMessage(message: ServerMessage & Error): void {
    const fatal = message.severity === 'FATAL' || message.severity === 'PANIC' || ENDS_SESSION.has(message.code ?? '');
    if (!fatal || this._connecting || this._activeQuery === null) {
      super._handleErrorMessage(message);
      return;
    }
    this._queryable = false;
    this._errorAllQueries(message);
  }

  protected override _handleErrorEvent(error: Error): void {
    if (this._connecting) {
      super._handleErrorEvent(error);
      return;
    }
    this._queryable = false;
    this._errorAllQueries(error);
    if (this.#cutReason === null) this.#announce();
  }

  /** pg's would end the process when nobody listens; here the next statement says it. */
  #announce(): void {
    if (this.#lost !== null && this.announces && this.listenerCount('error') > 0) this.emit('error', this.#lost);
  }

  /**
   * Not between two statements of a transaction: the next one ends with the contract's error, while a library that
   * hears of the loss before it (TypeORM) refuses that statement with an error of its own, which nobody repeats.
   */
  protected get announces(): boolean {
    return this.#lostStatement || !this.inTransaction;
  }

  /** The connection is gone: each statement gets the error that says what is known about it. */
  protected override _errorAllQueries(error: Error): void {
    if (this._connecting) {
      super._errorAllQueries(error);
      return;
    }
    const cause = this.#cutReason ?? error;
    const sent = [...(this._activeQuery ? [this._activeQuery] : []), ...this._sentQueryQueue.splice(0)];
    const unsent = this._queryQueue.splice(0);
    this._activeQuery = null;
    if (this.#lost === null) {
      this.#lost = this.#verdict(sent, cause);
      this.#lostStatement = sent.length > 0;
      // One that was idle may have been closed by a primary that goes to sleep: nobody's query has failed.
      const used = sent.length > 0 || this.inTransaction;
      if (this.#cutReason === null && !this._ending && used) this.#router.activity[this.side].failed(cause);
      this.#router.lost(this, sent.length > 0 || this.inTransaction ? this.#lost : null);
    }
    this.heldSinceMs = 0;
    for (const query of sent) {
      if (this.inTransaction && isPlainRollback(this.#textOf(query))) this.#succeed(query);
      else this.#fail(query, this.#lost);
    }
    for (const query of unsent) {
      if (isPlainRollback(query.text)) this.#succeed(query);
      else this.#fail(query, this.inTransaction ? this.#lost : new NotSentError(this.side, cause));
    }
    if (this.#router.awaitsIdle) this.#router.settled();
  }

  /** 40001 or 40003, by the status that the server reported last; the raw error where nothing was under way. */
  #verdict(sent: readonly QueuedQuery[], cause: Error): Error {
    const status = this._txStatus;
    if (!this.pipeline && sent[0] instanceof Query && writeFailed(cause)) {
      return this.inTransaction ? new TransactionLostError(this.side, cause) : new NotSentError(this.side, cause);
    }
    const unknown = sent.some((query) => mayHaveCommitted(status, this.#textOf(query)));
    if (unknown) return new OutcomeUnknownError(this.side, cause);
    if (sent.length > 0 || this.inTransaction) return new TransactionLostError(this.side, cause);
    return cause;
  }

  #textOf(query: QueuedQuery): string | undefined {
    if (typeof query.text === 'string') return query.text;
    const { parsedStatements } = this.connection as unknown as Wire;
    return query.name === undefined ? undefined : parsedStatements[query.name];
  }

  #fail(query: QueuedQuery, error: Error): void {
    process.nextTick(() => query.handleError(error, this.connection));
  }

  #succeed(query: QueuedQuery): void {
    process.nextTick(() => {
      query.handleCommandComplete?.({ text: 'ROLLBACK' }, this.connection);
      query.handleReadyForQuery?.(this.connection);
    });
  }

  /** A statement on a connection that is lost: it was not sent. Where it is ROLLBACK, what it asks for is done. */
  #queryLost(config: unknown, values: unknown, callback: unknown): unknown {
    const lost = this.#lost ?? new Error('Connection terminated');
    const submittable = typeof (config as Partial<QueuedQuery> | null)?.submit === 'function';
    const query = (submittable ? config : new Query(config as string)) as QueuedQuery;
    const rollback = isPlainRollback(query.text);
    const error = this.inTransaction && lost instanceof TransactionLostError ? lost : new NotSentError(this.side, lost);
    const given = [values, callback, (config as { callback?: unknown } | null)?.callback].find(isFunction);
    if (submittable) {
      if (given !== undefined) query.callback ??= given;
      if (rollback) this.#succeed(query);
      else this.#fail(query, error);
      return query;
    }
    if (given !== undefined) {
      process.nextTick(() => (rollback ? given(null, rolledBack()) : given(error)));
      return undefined;
    }
    return rollback ? Promise.resolve(rolledBack()) : Promise.reject(error);
  }
}

const isFunction = (value: unknown): value is Callback => typeof value === 'function';

/**
 * The system refused the bytes: a plain query is one write, so the server has at most a part of it, and a part is not
 * run. (An error of reading says nothing of the kind.)
 */
function writeFailed(cause: Error): boolean {
  const { syscall, code } = cause as NodeJS.ErrnoException;
  return syscall === 'write' && (code === 'EPIPE' || code === 'ECONNRESET');
}

function rolledBack(): QueryResult {
  const result = new Result('', { getTypeParser: () => (text: unknown) => text } as never) as unknown as QueryResult & {
    addCommandComplete(message: { text: string }): void;
  };
  result.addCommandComplete({ text: 'ROLLBACK' });
  return result;
}
