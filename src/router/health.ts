import { Client } from 'pg';
import type { Side } from '../core/route.js';
import { ControllerLink } from './controller-link.js';
import type { RouterPool } from './pool.js';

/** `GET /api/system/db-health` (SPEC section 9), as the application sees it. */
export interface DbHealth {
  readonly status: 'healthy' | 'degraded' | 'failed_over' | 'unhealthy';
  readonly primary: SideHealth;
  readonly secondary: SideHealth;
  readonly activeDatabase: Side;
  readonly lastSync: string | null;
  readonly syncStatus: 'healthy' | 'lagging' | 'stalled' | 'paused' | 'error';
  readonly state: string;
  readonly epoch: number;
  readonly replication: { readonly lagSeconds: number | null; readonly lagBytes: number | null };
}

export interface SideHealth {
  readonly connected: boolean;
  /** Milliseconds; null when it is not connected. */
  readonly latency: number | null;
  readonly lastCheck: string | null;
}

export interface HealthOptions {
  /** How long a probe and the controller's answer may take; 2,000 by default. */
  readonly timeoutMs?: number;
  /** The passive database is probed no more often than this where the controller is silent; 30,000 by default. */
  readonly passiveEveryMs?: number;
}

type Told = Partial<Pick<DbHealth, 'primary' | 'secondary' | 'lastSync' | 'syncStatus' | 'state' | 'replication'>>;

/**
 * A fetch-style handler, `(request) => Promise<Response>`: Next.js, Hono and Bun take it as it is. The active database
 * is probed through the pool itself; the rest comes from the controller, or from a probe of our own where it is silent.
 */
export function healthHandler(pool: RouterPool, options: HealthOptions = {}): (request?: Request) => Promise<Response> {
  const { timeoutMs = 2_000, passiveEveryMs = 30_000 } = options;
  const { controllerUrl, token } = pool.router.options;
  const link = controllerUrl === null ? null : new ControllerLink(controllerUrl, token);
  const passive = new PassiveProbe(pool, timeoutMs, passiveEveryMs);
  return async () => {
    const [own, told] = await Promise.all([probe(pool, timeoutMs), ask(link, timeoutMs)]);
    const active = pool.router.side;
    const other: Side = active === 'primary' ? 'secondary' : 'primary';
    const otherHealth = told?.[other] ?? (pool.router.follows ? await passive.look(other) : UNKNOWN);
    const health: DbHealth = {
      status: statusOf(own, pool.router.follows ? otherHealth : null, active, told),
      primary: active === 'primary' ? own : otherHealth,
      secondary: active === 'secondary' ? own : otherHealth,
      activeDatabase: active,
      lastSync: told?.lastSync ?? null,
      syncStatus: told?.syncStatus ?? 'stalled',
      state: pool.route?.state ?? told?.state ?? 'UNKNOWN',
      epoch: Math.max(0, pool.route?.epoch ?? 0),
      replication: told?.replication ?? { lagSeconds: null, lagBytes: null },
    };
    return Response.json(health, { status: own.connected ? 200 : 503, headers: { 'Cache-Control': 'no-store' } });
  };
}

const UNKNOWN: SideHealth = { connected: false, latency: null, lastCheck: null };

/** `other` null: there is none, for a plain pool. */
function statusOf(own: SideHealth, other: SideHealth | null, active: Side, told: Told | null): DbHealth['status'] {
  if (!own.connected) return 'unhealthy';
  if (active === 'secondary') return 'failed_over';
  if (other === null) return 'healthy';
  return other.connected && (told?.syncStatus ?? 'healthy') === 'healthy' ? 'healthy' : 'degraded';
}

/** Through the pool, as a query of the application goes; a hold counts as not connected when it lasts too long. */
async function probe(pool: RouterPool, timeoutMs: number): Promise<SideHealth> {
  const begun = performance.now();
  const lastCheck = new Date().toISOString();
  try {
    await within(timeoutMs, pool.query('SELECT 1'));
    return { connected: true, latency: Math.round(performance.now() - begun), lastCheck };
  } catch {
    return { connected: false, latency: null, lastCheck };
  }
}

async function ask(link: ControllerLink | null, timeoutMs: number): Promise<Told | null> {
  try {
    const answer = await link?.get('api/system/db-health', timeoutMs);
    // 503 with a body is an answer too: its view of the active database is worse than ours.
    return answer !== undefined && 'activeDatabase' in answer.body ? (answer.body as Told) : null;
  } catch {
    return null;
  }
}

/** A connection of its own to the database that is not active, rarely: a visit may wake a sleeping one. */
class PassiveProbe {
  readonly #pool: RouterPool;
  readonly #timeoutMs: number;
  readonly #everyMs: number;
  readonly #last = new Map<Side, { atMs: number; health: Promise<SideHealth> }>();

  constructor(pool: RouterPool, timeoutMs: number, everyMs: number) {
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
    this.#everyMs = everyMs;
  }

  look(side: Side): Promise<SideHealth> {
    const now = performance.now();
    const last = this.#last.get(side);
    if (last && now - last.atMs < this.#everyMs) return last.health;
    const health = this.#visit(side);
    this.#last.set(side, { atMs: now, health });
    return health;
  }

  async #visit(side: Side): Promise<SideHealth> {
    const lastCheck = new Date().toISOString();
    const begun = performance.now();
    const client = new Client({ ...this.#pool.router.configOf(side), connectionTimeoutMillis: this.#timeoutMs });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await within(this.#timeoutMs, client.query('SELECT 1'));
      return { connected: true, latency: Math.round(performance.now() - begun), lastCheck };
    } catch {
      return { connected: false, latency: null, lastCheck };
    } finally {
      client.connection.stream.destroy();
    }
  }
}

function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('timeout')), ms);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
