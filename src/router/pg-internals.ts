/**
 * What the router takes from pg and pg-pool beyond their documented interfaces, and nothing else of them. It is little,
 * it has been stable for years, and test/integration/router-pg-contract.test.ts fails when an update changes it.
 *
 * Why at all: a statement has to be held at the very moment at which its bytes would be sent (`_pulseQueryQueue`), or a
 * process that was stopped in between would send it under a lease that has ended; and a pool that is wrapped from
 * outside is no `pg.Pool` for the libraries that look into it.
 */
import { Client, Pool, type PoolClient, type PoolConfig, type PoolOptions, type Submittable } from 'pg';
import { ConfigurationError } from '../core/errors.js';
import type { Status } from './statements.js';

/** A query as pg's client keeps it: a pg.Query, a cursor, a COPY stream. */
export interface QueuedQuery extends Submittable {
  text?: string | undefined;
  name?: string | undefined;
  callback?: unknown;
  handleError(error: unknown, connection: unknown): void;
  handleCommandComplete?(message: { text: string }, connection: unknown): void;
  handleReadyForQuery?(connection: unknown): void;
}

export interface ServerMessage {
  readonly severity?: string | undefined;
  readonly code?: string | undefined;
}

export interface WireStream {
  readonly destroyed: boolean;
  readonly writable: boolean;
  destroy(): void;
  destroySoon?(): void;
}

export interface Wire {
  readonly stream: WireStream;
  readonly parsedStatements: Readonly<Record<string, string | undefined>>;
}

/** Ambient: it describes pg's own class, and is erased. */
declare class InternalClient extends Client {
  protected _queryable: boolean;
  protected _ending: boolean;
  protected _connecting: boolean;
  protected _activeQuery: QueuedQuery | null;
  protected _queryQueue: QueuedQuery[];
  protected _sentQueryQueue: QueuedQuery[];
  protected _txStatus: Status;
  protected readyForQuery: boolean | undefined;
  protected _pulseQueryQueue(): void;
  protected _errorAllQueries(error: Error): void;
  protected _handleErrorEvent(error: Error): void;
  protected _handleErrorMessage(message: ServerMessage): void;
  protected _handleCommandComplete(message: { text: string }): void;
  protected _handleReadyForQuery(message: { status?: Status }): void;
}

export type ConnectCallback = (
  error: Error | undefined,
  client: PoolClient | undefined,
  done: (release?: unknown) => void,
) => void;

/** One who waits for a connection. */
export interface PendingItem {
  callback: ConnectCallback;
  timedOut?: boolean;
  /** Ours: monotonic time since which it has waited for the end of a hold. */
  heldAt?: number;
}

declare class InternalPool extends Pool {
  constructor(config?: PoolConfig);
  Client: unknown;
  protected _pendingQueue: PendingItem[];
  protected _idle: { readonly client: Client }[];
  protected _clients: Client[];
  protected _isFull(): boolean;
  protected _pulseQueue(): void;
  protected _remove(client: Client, callback?: () => void): void;
  protected _acquireClient(client: Client, item: PendingItem, idleListener: unknown, isNew: boolean): void;
  protected newClient(item: PendingItem): void;
}

/** `typeof` of the ambient classes: the values are pg's. */
export const BaseClient = Client as unknown as typeof InternalClient;
export const BasePool = Pool as unknown as typeof InternalPool;

export type { InternalClient, InternalPool, PoolOptions };

const CLIENT_METHODS = [
  '_pulseQueryQueue',
  '_errorAllQueries',
  '_handleErrorEvent',
  '_handleErrorMessage',
  '_handleCommandComplete',
  '_handleReadyForQuery',
  'getTransactionStatus',
];
const POOL_METHODS = ['_pulseQueue', '_remove', '_acquireClient', '_isFull', 'newClient'];

/** Throws where pg is another one than this file describes: its native binding, or a version to come. */
export function requireKnownPg(): void {
  const missing = [
    ...CLIENT_METHODS.filter((name) => typeof Reflect.get(Client.prototype, name) !== 'function'),
    ...POOL_METHODS.filter((name) => typeof Reflect.get(Pool.prototype, name) !== 'function'),
  ];
  if (missing.length === 0) return;
  throw new ConfigurationError(`This pg cannot be routed: it lacks ${missing.join(', ')}.`, {
    code: 'pg-unknown',
    remedy: 'Use pg 8.23.1 or a later 8.x, in JavaScript: unset NODE_PG_FORCE_NATIVE.',
  });
}
