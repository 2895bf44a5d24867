/** Both sides as the probes of this process have shown them, and where the primary's WAL was at the last good ones. */
import type { Clock } from '../core/clock.js';
import type { ReplicationGap } from '../core/failover.js';
import type { Log } from '../core/log.js';
import type { FactReader } from './facts.js';
import { lagWhenLastSeen, noteSample, type WalSample } from './lag.js';
import type { PrimaryAnswer, SecondaryAnswer } from './probes.js';
import { SideRecord } from './side-record.js';

export interface ObservationParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly facts: FactReader;
  /** Each rejects at its deadline: a database that hangs is one that fails. */
  readonly probePrimary: () => Promise<PrimaryAnswer>;
  readonly probeSecondary: (seen: WalSample | null) => Promise<SecondaryAnswer>;
}

export class Observation {
  readonly primary = new SideRecord();
  readonly secondary = new SideRecord();
  readonly #parts: ObservationParts;
  #samples: WalSample[] = [];

  constructor(parts: ObservationParts) {
    this.#parts = parts;
  }

  get samples(): readonly WalSample[] {
    return this.#samples;
  }

  /**
   * Probes both sides at once.
   * @param primaryToo nobody but the leader asks the primary
   * @returns what the secondary answered; null when it did not
   */
  async look(primaryToo: boolean): Promise<SecondaryAnswer | null> {
    const { clock, log, probePrimary, probeSecondary } = this.#parts;
    const seen = this.primary.connected ? (this.#samples.at(-1) ?? null) : null;
    const secondary = probeSecondary(seen).then(
      (answer) => this.secondary.succeeded(clock.now(), answer.latencyMs, answer),
      (error: unknown) => this.secondary.failed(clock.now(), error),
    );
    const primary = primaryToo
      ? probePrimary().then(
          (answer) => this.primary.succeeded(clock.now(), answer.latencyMs, answer),
          (error: unknown) => this.primary.failed(clock.now(), error),
        )
      : Promise.resolve(null);
    const [beat, wal] = await Promise.all([secondary, primary]);
    for (const side of ['primary', 'secondary'] as const) {
      const { error } = this[side].health();
      if (error !== null) log.warn({ side, error }, `Health check failed for ${side}`);
    }
    if (wal) this.#samples = noteSample(this.#samples, { atMs: clock.now(), lsn: wal.lsn });
    return beat;
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
