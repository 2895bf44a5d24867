import { type ClientConfig, defaults, type PoolConfig, types } from 'pg';
import type { RouterOptions } from './options.js';
import { RouterPool } from './pool.js';
import { Router } from './router.js';
import { StandaloneClient } from './standalone.js';

/** What a library takes that asks for the module `pg` instead of a pool. */
export interface PgModule {
  readonly Pool: new (config?: PoolConfig) => RouterPool;
  readonly Client: new (config?: string | ClientConfig) => StandaloneClient;
  readonly types: typeof types;
  readonly defaults: typeof defaults;
  /** Shared by all pools and clients of this module: its events, route and metrics. */
  readonly router: Router;
  /** Stops following the route; to be called after the last pool or client was ended. */
  close(): void;
}

/**
 * A module in the shape of `pg` for libraries that make pools and clients themselves (TypeORM, Sequelize, Knex). What
 * they pass is kept, except for what says where to connect to: that comes from `options`.
 */
export function createPgModule(options: RouterOptions): PgModule {
  const router = new Router(options);
  class ModulePool extends RouterPool {
    constructor(config?: PoolConfig) {
      super({ ...options, router, given: config });
    }
  }
  class ModuleClient extends StandaloneClient {
    constructor(config?: string | ClientConfig) {
      super(router, config);
    }
  }
  return { Pool: ModulePool, Client: ModuleClient, types, defaults, router, close: () => router.close() };
}
