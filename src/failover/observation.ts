/** Both sides as the probes of this process have shown them, and where the primary's WAL was at the last good ones. */
import type { Clock } from '../core/clock.js';
import type { ReplicationGap } from '../core/failover.js';
import type { Log } from '../core/log.js';
import { isQuotaExceeded } from '../core/quota.js';
import type { FactReader } from './facts.js';
import { afterRest, lagWhenLastSeen, noteSample, type WalSample } from './lag.js';
import type { PrimaryAnswer, SecondaryAnswer } from './probes.js';
import { SideRecord } from './side-record.js';

export interface ObservationParts {
  readonly settings: {
    /** How often a primary is asked that has answered that its compute time is used up; 15 minutes by default. */
    readonly quotaProbeMs?: number;
  };
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: FactReader;
  /** Each rejects at its deadline: a database that hangs is one that fails. */
  readonly probePrimary: () => Promise<PrimaryAnswer>;
  readonly probeSecondary: (seen: WalSample | null) => Promise<SecondaryAnswer>;
}

/** It will say the same for days. */
const QUOTA_PROBE_MS = 900_000;
const QUOTA_TEXT = 'its compute time is used up for this period';

export class Observation {
  readonly primary = new SideRecord();
  readonly secondary = new SideRecord();
  readonly #parts: ObservationParts;
  #samples: WalSample[] = [];
  /** Monotonic; the last time that the primary answered that its compute time is used up. */
  #quotaMs: number | null = null;
  #asks = 0;

  constructor(parts: ObservationParts) {
    this.#parts = parts;
  }

  get samples(): readonly WalSample[] {
    return this.#samples;
  }

  /** Rounds that have asked the primary. */
  get asks(): number {
    return this.#asks;
  }

  /** The primary's last answer was that its compute time is used up. */
  get outOfQuota(): boolean {
    return this.#quotaMs !== null;
  }

  /** It has said so not long ago, and is not asked again yet. */
  get sparesPrimary(): boolean {
    const { clock, settings } = this.#parts;
    return this.#quotaMs !== null && clock.monotonic() - this.#quotaMs < (settings.quotaProbeMs ?? QUOTA_PROBE_MS);
  }

  /**
   * Probes both sides at once.
   * @param primaryToo nobody but the leader asks the primary, and nobody where it is left alone
   * @returns what the secondary answered; null when it did not
   */
  async look(primaryToo: boolean): Promise<SecondaryAnswer | null> {
    const { clock, log, probeSecondary } = this.#parts;
    const seen = this.primary.connected ? (this.#samples.at(-1) ?? null) : null;
    const secondary = probeSecondary(seen).then(
      (answer) => this.secondary.succeeded(clock.now(), answer.latencyMs, answer),
      (error: unknown) => this.secondary.failed(clock.now(), error),
    );
    const primary = primaryToo ? this.#askPrimary() : Promise.resolve(null);
    const [beat, wal] = await Promise.all([secondary, primary]);
    for (const side of ['primary', 'secondary'] as const) {
      const { error } = this[side].health();
      if (error !== null) log.warn({ side, error }, `Health check failed for ${side}`);
    }
    if (primaryToo) this.#asks += 1;
    if (wal) this.#samples = noteSample(this.#samples, { atMs: clock.now(), lsn: wal.lsn });
    return beat;
  }

  #askPrimary() {
    const { clock, log, probePrimary } = this.#parts;
    return probePrimary().then(
      (answer) => {
        this.#quotaMs = null;
        return this.primary.succeeded(clock.now(), answer.latencyMs, answer);
      },
      (error: unknown) => {
        const quota = isQuotaExceeded(error);
        if (quota && this.#quotaMs === null)
          log.error({ side: 'primary' }, `The primary cannot be used: ${QUOTA_TEXT}. It is asked seldom from now on`);
        this.#quotaMs = quota ? clock.monotonic() : null;
        return this.primary.failed(clock.now(), error);
      },
    );
  }

  /** A query of the application failed: as good as a probe that did, while the primary is not asked. */
  heardFailure(router: string, quota: boolean): void {
    const { clock, log } = this.#parts;
    const error = new Error(`queries of router ${router} to the primary fail${quota ? `: ${QUOTA_TEXT}` : ''}`);
    this.primary.failed(clock.now(), error);
    log.warn({ side: 'primary', router, error: error.message }, 'Health check failed for primary');
  }

  /** The primary was left alone for so long: its WAL did not move meanwhile. */
  rested(ms: number): void {
    this.#samples = afterRest(this.#samples, ms);
  }

  /** What a former leader knew of the primary is older than the first thing that is seen here. */
  inherit(seen: WalSample | null): void {
    if (this.#samples.length <= 1 && seen) this.#samples = [seen, ...this.#samples];
  }

  /** How far the stream is behind what was last seen of the primary; null when that is not known. */
  async gap(): Promise<ReplicationGap | null> {
    const position = await this.#parts.facts.position().catch(() => null);
    const last = this.#samples.at(-1);
    const lagMs = position && lagWhenLastSeen(this.#samples, position);
    if (!position || !last || lagMs === null) return null;
    const lagBytes = last.lsn > position.lsn ? Number(last.lsn - position.lsn) : 0;
    return { lagSeconds: lagMs / 1000, lagBytes };
  }
}
