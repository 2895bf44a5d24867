import type { Client, PoolClient, PoolConfig, PoolOptions } from 'pg';
import { systemClock } from '../core/clock.js';
import type { Route, Side } from '../core/route.js';
import { RoutedClient } from './client.js';
import { Deadline } from './deadline.js';
import { HoldQueueFullError, NotSentError } from './errors.js';
import type { RouterMetrics } from './metrics.js';
import type { RouterOptions } from './options.js';
import { BasePool, type ConnectCallback, type PendingItem } from './pg-internals.js';
import { type RoutedPool, Router, type SwitchEvent } from './router.js';
import { merged } from './standalone.js';

export interface RouterPoolOptions extends RouterOptions {
  /** For pools that share one router: see createPgModule. */
  readonly router?: Router | undefined;
  /** What a library asks of its pool beside where to connect to; the configuration of a side goes before it. */
  readonly given?: PoolConfig | undefined;
}

/** A server's answer that says that it did not run the statement, and that another side may: starting, read-only, fenced. */
const NOT_RUN = new Set(['57P03', '25006', '42501']);

type QueryCallback = (error: Error | undefined, result?: unknown) => void;

/**
 * A pg.Pool whose connections go to the active database. It is pg's own pool, with its queue, counters and events; the
 * options change with the side, nobody is served while the route is closed, and a connection of the former side is
 * never handed out.
 *
 * Beside pg's events it emits `switch` ({ from, to, route }), `hold` (route) and `resume` (route: queries run again).
 * pg's own `release` (a client came back) keeps its meaning; `pool.router` has the end of a hold by that name too.
 */
export class RouterPool extends BasePool implements RoutedPool {
  readonly router: Router;
  readonly #ownsRouter: boolean;
  readonly #optionsOf: Record<Side, PoolOptions>;
  readonly #deadline: Deadline;
  #side: Side = 'primary';

  constructor(options: RouterPoolOptions) {
    const router = options.router ?? new Router(options);
    const RouterClient = clientClassOf(router);
    super({ ...merged(options.given, router.configOf('primary')), Client: RouterClient as never });
    this.router = router;
    this.#ownsRouter = options.router === undefined;
    // pg's own constructor fills in the defaults and hides the password; it opens nothing.
    const secondary = new BasePool({
      ...merged(options.given, router.configOf('secondary')),
      Client: RouterClient as never,
    });
    this.#optionsOf = { primary: this.options, secondary: secondary.options };
    this.#deadline = new Deadline(systemClock, (now) => this.#sweep(now));
    router.addPool(this);
    router.on('switch', this.#onSwitch).on('hold', this.#onHold).on('release', this.#onRelease);
  }

  /** Null before any authority was asked, and for a plain pool. */
  get route(): Route | null {
    return this.router.gate.route;
  }

  metrics(): RouterMetrics {
    return this.router.metrics();
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: ConnectCallback): void;
  override connect(callback?: ConnectCallback): Promise<PoolClient> | undefined {
    if (this.router.open || this.ending) return super.connect(callback as ConnectCallback) as never;
    if (callback) return void this.#wait(callback);
    return new Promise((resolve, reject) => {
      this.#wait((error, client) => (error ? reject(error) : resolve(client as PoolClient)));
    });
  }

  static {
    // pg-pool's own implementation is one function of three arguments too; see its `query`.
    RouterPool.prototype.query = function (this: RouterPool, text: unknown, values?: unknown, callback?: unknown) {
      return this.#query(text, values, callback);
    } as RouterPool['query'];
    // An error of an idle connection that nobody listens to must not end the process in the middle of a failover. Fixed
    // arguments, because pg-pool emits twice per query and a rest parameter would be an array each time.
    const emit = BasePool.prototype.emit as (
      this: RouterPool,
      event: string | symbol,
      a: unknown,
      b: unknown,
    ) => boolean;
    RouterPool.prototype.emit = function (this: RouterPool, event: string | symbol, a?: unknown, b?: unknown) {
      if (event === 'error' && this.listenerCount('error') === 0) return false;
      return emit.call(this, event, a, b);
    } as RouterPool['emit'];
  }

  override on(event: 'switch', listener: (event: SwitchEvent) => void): this;
  override on(event: 'hold' | 'resume', listener: (route: Route) => void): this;
  override on(event: 'error' | 'release', listener: (error: Error, client: PoolClient) => void): this;
  override on(event: 'connect' | 'acquire' | 'remove', listener: (client: PoolClient) => void): this;
  override on(event: never, listener: never): this {
    return super.on(event, listener);
  }

  override end(): Promise<void>;
  override end(callback: () => void): void;
  override end(callback?: () => void): Promise<void> | undefined {
    if (!this.ending) {
      this.router.off('switch', this.#onSwitch).off('hold', this.#onHold).off('release', this.#onRelease);
      this.router.removePool(this);
      this.#deadline.cancel();
      if (this.#ownsRouter) this.router.close();
      const error = new Error('Cannot use a pool after calling end on the pool');
      for (const item of this._pendingQueue.filter((each) => each.heldAt !== undefined)) this.#dismiss(item, error);
    }
    return super.end(callback as () => void) as never;
  }

  // For the router.

  enter(side: Side): void {
    if (side === this.#side) return;
    this.#side = side;
    this.options = this.#optionsOf[side];
    for (const { client } of [...this._idle]) this.#discard(client);
    // Those that are being connected would be waited for, as long as the system waits for a host that is gone.
    for (const client of this._clients as RoutedClient[]) if (client.side !== side) client.abandon();
  }

  hold(): void {
    for (const item of this._pendingQueue) this.#hold(item);
  }

  resume(): void {
    // Each call serves one; one that can neither be served nor make room ends it.
    for (let before = -1; this._pendingQueue.length > 0 && before !== this._pendingQueue.length; ) {
      before = this._pendingQueue.length;
      this._pulseQueue();
    }
    // Whoever still waits, waits for a free connection, as in any pool.
    for (const item of this._pendingQueue) delete item.heldAt;
    this.#deadline.cancel();
  }

  // pg-pool's steps, with the route in mind.

  protected override _pulseQueue(): void {
    if (this.ending || this._pendingQueue.length === 0 || this.router.open) super._pulseQueue();
    else this.hold();
  }

  protected override newClient(item: PendingItem): void {
    const side = this.#side;
    super.newClient({
      callback: (error, client, done) => {
        if (error && !item.timedOut && this.#connectsAgain(item, error, side)) return;
        item.callback(error, client, done);
      },
      get timedOut() {
        return item.timedOut ?? false;
      },
      // Found again by _acquireClient, so that one that is sent back to the queue goes there as it came.
      origin: item,
    } as Attempt);
  }

  protected override _acquireClient(client: Client, item: PendingItem, idleListener: unknown, isNew: boolean): void {
    const routed = client as RoutedClient;
    if (routed.side === this.#side && routed.usable) {
      super._acquireClient(client, item, idleListener, isNew);
      return;
    }
    // Lost without anybody having noticed, or of the former side: nothing was sent, so another one serves as well.
    this.#discard(client);
    this.#requeue((item as Attempt).origin ?? item);
  }

  #query(text: unknown, values: unknown, callback: unknown): Promise<unknown> | undefined {
    if (typeof values === 'function') return this.#query(text, undefined, values);
    if (typeof callback === 'function') {
      this.#run(text, values, callback as QueryCallback);
      return undefined;
    }
    const promise = new Promise((resolve, reject) => {
      this.#run(text, values, (error, result) => (error ? reject(error) : resolve(result)));
    });
    return promise.catch(withCallersStack);
  }

  #run(text: unknown, values: unknown, callback: QueryCallback): void {
    if (typeof text === 'function') {
      const error = new Error('Passing a function as the first parameter to pool.query is not supported');
      setImmediate(text as QueryCallback, error);
      return;
    }
    this.connect((connectError, client) => {
      if (connectError || client === undefined) {
        callback(connectError);
        return;
      }
      const { epoch } = this.router;
      try {
        (client.query as (...args: unknown[]) => unknown)(text, values, (error?: Error, result?: unknown) => {
          client.release(error);
          if (!error) callback(undefined, result);
          else if (!this.#isRepeatable(text, error)) callback(error);
          else this.#afterNews(epoch, error, (final) => (final ? callback(final) : this.#run(text, values, callback)));
        });
      } catch (error) {
        client.release(error as Error);
        callback(error as Error);
      }
    });
  }

  /** A cursor or a stream has been handed on already, and is not whole any more. */
  #isRepeatable(text: unknown, error: Error): boolean {
    if (typeof (text as { submit?: unknown } | null)?.submit === 'function') return false;
    return (
      error instanceof NotSentError || (this.router.follows && NOT_RUN.has((error as { code?: string }).code ?? ''))
    );
  }

  /**
   * Calls back without an error where it is worth trying again: at once when nothing was sent (the connection was of no
   * use any more), else when the route is another one than at `epoch`, now or after asking for it.
   */
  #afterNews(epoch: number, error: Error, decide: (error?: Error) => void): void {
    const again = () => {
      this.router.counters.silentRetries += 1;
      decide();
    };
    if (error instanceof NotSentError) again();
    else if (this.router.epoch > epoch || !this.router.open) again();
    else void this.router.refresh().then(() => (this.router.epoch > epoch ? again() : decide(error)));
  }

  #connectsAgain(item: PendingItem, error: Error, side: Side): boolean {
    if (!this.router.follows) return false;
    this.router.activity[side].failed(error);
    const { epoch } = this.router;
    if (side !== this.#side || !this.router.open) {
      this.#requeue(item);
      return true;
    }
    this.#afterNews(epoch, error, (final) =>
      final ? item.callback(final, undefined, () => undefined) : this.#requeue(item),
    );
    return true;
  }

  /** Back to the head of the queue. */
  #requeue(item: PendingItem): void {
    if (item.timedOut) return;
    if (this.ending) {
      item.callback(new Error('Cannot use a pool after calling end on the pool'), undefined, () => undefined);
      return;
    }
    this._pendingQueue.unshift(item);
    process.nextTick(() => this._pulseQueue());
  }

  #wait(callback: ConnectCallback): void {
    const waiting = this._pendingQueue.length;
    if (waiting >= this.router.options.maxWaiting) {
      this.router.counters.queueFull += 1;
      callback(new HoldQueueFullError(this.route?.active ?? null, waiting), undefined, () => undefined);
      return;
    }
    const item: PendingItem = { callback };
    this._pendingQueue.push(item);
    this.#hold(item);
  }

  #hold(item: PendingItem): void {
    if (item.heldAt !== undefined) return;
    item.heldAt = systemClock.monotonic();
    this.#deadline.arm(item.heldAt + this.router.options.holdTimeoutMs);
  }

  #sweep(now: number): number | null {
    let next: number | null = null;
    for (const item of [...this._pendingQueue]) {
      if (item.heldAt === undefined) continue;
      const due = item.heldAt + this.router.options.holdTimeoutMs;
      if (due <= now) this.#dismiss(item, this.router.refusal(now - item.heldAt));
      else next = Math.min(next ?? due, due);
    }
    return next;
  }

  #dismiss(item: PendingItem, error: Error): void {
    const index = this._pendingQueue.indexOf(item);
    if (index >= 0) this._pendingQueue.splice(index, 1);
    item.callback(error, undefined, () => undefined);
  }

  #discard(client: Client): void {
    this._remove(client, () => this._pulseQueue());
    // The farewell goes out where it can; a host that is gone is not waited for.
    (client as RoutedClient).letGo();
  }

  readonly #onSwitch = (event: unknown) => void this.emit('switch', event);
  readonly #onHold = (route: Route) => void this.emit('hold', route);
  readonly #onRelease = (route: Route) => void this.emit('resume', route);
}

interface Attempt extends PendingItem {
  readonly origin?: PendingItem;
}

/** A class bound to one router, as pg's own Pool is bound to a Client: `new pool.Client(pool.options)` is routed too. */
function clientClassOf(router: Router): new (config?: PoolConfig) => RoutedClient {
  return class RouterClient extends RoutedClient {
    constructor(config?: PoolConfig) {
      super(router, router.side, config);
    }
  };
}

/** As pg-pool does: the stack of the caller instead of that of the socket. */
function withCallersStack(error: Error): never {
  Error.captureStackTrace(error);
  throw error;
}
