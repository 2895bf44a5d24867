/** What of the configuration decides when something happens by itself: for people. */
import type { Config } from '../config/config.js';
import type { SystemSettings } from '../core/system.js';

export function systemSettings({ failback, failover, health }: Config): SystemSettings {
  return {
    checkIntervalMs: health.intervalMs,
    failoverThreshold: failover.threshold,
    failbackThreshold: failback.threshold,
    cooldownMs: failover.cooldownMs,
    autoFailover: failover.auto,
    autoFailback: failback.auto,
  };
}
