import type { ControllerSnapshot, ControllerSurface, Order, OrderResult, SideHealth } from '../../src/core/failover.js';

/** A side that takes writes. */
export const UP: SideHealth = {
  connected: true,
  latencyMs: 44.6,
  lastCheck: '2026-01-24T20:00:00.000Z',
  error: null,
  failures: 0,
  successes: 3,
  probes: 10,
  failedProbes: 2,
};
/** A controller that a test sets by hand. */
export class FixedController implements ControllerSurface {
  current: ControllerSnapshot = {
    leads: true,
    state: 'PRIMARY_ACTIVE',
    epoch: 7,
    route: null,
    active: 'primary',
    paused: false,
    primary: UP,
    secondary: { ...UP, latencyMs: 120 },
    alerts: [],
    failovers: 1,
    failbacks: 2,
    recovery: null,
  };
  orders: Order[] = [];
  result: Partial<OrderResult> | Error = {};

  snapshot = () => this.current;
  replication = () => Promise.resolve({ lagSeconds: 3, lagBytes: 9 });
  order = (order: Order): Promise<OrderResult> => {
    this.orders.push(order);
    if (this.result instanceof Error) return Promise.reject(this.result);
    const { epoch, state } = this.current;
    const base = { done: true, refused: false, message: 'done', state, epoch, how: null, guards: [], tookMs: 5 };
    return Promise.resolve({ ...base, ...this.result });
  };
  history = (limit: number) => Promise.resolve(Array.from({ length: Math.min(limit, 3) }, (_, i) => entry(9 - i)));
  conflicts = () => Promise.resolve([]);
  deadLetters = () => Promise.resolve([]);
}

export function entry(epoch: number) {
  const at = '2026-01-24T20:00:00.000Z';
  return { epoch, from: 'A', to: 'B', active: 'primary', at, durationMs: 1, actor: 'x', reason: 'y', guards: [] };
}
