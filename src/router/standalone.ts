import { Client, type ClientConfig, type PoolConfig } from 'pg';
import { RoutedClient } from './client.js';
import { NotSentError, RouterError } from './errors.js';
import type { Router } from './router.js';

/** What says where to connect to, and as whom: always that of the active side, whatever a library passes. */
const IDENTITY = [
  'host',
  'port',
  'user',
  'password',
  'database',
  'connectionString',
  'ssl',
  'sslnegotiation',
  'options',
];

/**
 * What a library passes (types, application_name, timeouts, pool sizes), under the configuration of a side. A missing
 * value is no value: it must not replace the library's.
 */
export function merged<T extends PoolConfig>(given: T | undefined, own: PoolConfig): PoolConfig {
  const kept = Object.entries(given ?? {}).filter(([key]) => !IDENTITY.includes(key));
  return { ...Object.fromEntries(kept), ...own };
}

/** Its listeners stay; everything else becomes that of a client that was made for another side. */
const LISTENERS = new Set(['_events', '_eventsCount', '_maxListeners']);

/**
 * A client outside of a RouterPool, as libraries with pools of their own make them (Sequelize, Knex). It waits for the
 * end of a hold in `connect`, and connects to the side that is active then.
 */
export class StandaloneClient extends RoutedClient {
  readonly #routing: Router;
  readonly #given: ClientConfig | undefined;

  constructor(router: Router, config: string | ClientConfig | undefined) {
    const given = typeof config === 'string' ? undefined : config;
    super(router, router.side, merged(given, router.configOf(router.side)));
    this.#routing = router;
    this.#given = given;
  }

  override connect(): Promise<this>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<this> | undefined {
    if (!callback) {
      return new Promise((resolve, reject) => {
        this.connect((error) => (error ? reject(error) : resolve(this)));
      });
    }
    // Called in the turn in which pg knows: its `end` comes in the next tick, and a library that hears that first
    // (Sequelize) makes an error of its own of it.
    const told = (error: Error) => callback(error ? this.#explained(error) : error);
    if (this.#routing.open && this.#routing.side === this.side) {
      super.connect(told);
    } else {
      untilOpen(this.#routing)
        .then(() => {
          if (this.#routing.side !== this.side) this.#adopt();
          super.connect(told);
        })
        .catch(told);
    }
    return undefined;
  }

  /** An attempt that a flip ended: nothing was sent, and the next one goes to the other side. */
  #explained(error: Error): Error {
    const flipped = this.#routing.follows && (this.#routing.side !== this.side || !this.#routing.open);
    return flipped && !(error instanceof RouterError) ? new NotSentError(this.side, error) : error;
  }

  /** Its library's pool has no other way to learn that a connection is of no use any more. */
  protected override get announces(): boolean {
    return true;
  }

  /** Not connected yet, so nothing but fields tells one side's client from the other's. */
  #adopt(): void {
    this.side = this.#routing.side;
    const fresh = new Client(merged(this.#given, this.#routing.configOf(this.side)));
    // The connection keeps its identity: a library may listen to it already.
    copyFields(fresh.connection, this.connection);
    copyFields(fresh, this, 'connection');
  }
}

function copyFields(from: object, to: object, except?: string): void {
  for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(from))) {
    if (!LISTENERS.has(name) && name !== except) Object.defineProperty(to, name, { ...descriptor, configurable: true });
  }
}

function untilOpen(router: Router): Promise<void> {
  if (router.open) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const leave = () => {
      clearTimeout(timer);
      router.off('open', onOpen);
    };
    const onOpen = () => {
      leave();
      resolve();
    };
    const timer = setTimeout(() => {
      leave();
      reject(router.refusal(performance.now() - begun));
    }, router.options.holdTimeoutMs);
    router.on('open', onOpen);
  });
}
