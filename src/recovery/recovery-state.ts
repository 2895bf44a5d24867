/** What a recovery tells of itself: kept in memory, and counted in the journal now and then. */
import type { Clock } from '../core/clock.js';
import type { TargetLink } from '../meta/target-link.js';
import type { Journal, JournalCounts } from './journal.js';
import type { RecoveryPhase, RecoveryProgress } from './recovery.js';

const COUNT_EVERY_MS = 5000;

export class RecoveryState {
  readonly #stream: string;
  readonly #link: TargetLink;
  readonly #journal: Journal;
  readonly #clock: Clock;
  phase: RecoveryPhase = 'following';
  tailMerged = false;
  /** Everything that was written on the secondary before this is on the primary, unless it is counted as waiting. */
  copiedThroughMs: number | null = null;
  followTrouble: string | null = null;
  workTrouble: string | null = null;
  #counts: JournalCounts & { readonly conflicts: number } = { keys: 0, copied: 0, oldestMs: null, conflicts: 0 };
  #countedAt = Number.NEGATIVE_INFINITY;

  constructor(stream: string, link: TargetLink, journal: Journal, clock: Clock) {
    this.#stream = stream;
    this.#link = link;
    this.#journal = journal;
    this.#clock = clock;
  }

  /** The primary is away, or was fenced anew: what it has got is to be found out again. */
  restart(): void {
    this.phase = 'following';
    this.tailMerged = false;
    this.copiedThroughMs = null;
    this.workTrouble = null;
  }

  progress(): RecoveryProgress {
    const { conflicts, copied, keys, oldestMs } = this.#counts;
    const since =
      this.copiedThroughMs === null ? null : Math.min(oldestMs ?? this.copiedThroughMs, this.copiedThroughMs);
    return {
      phase: this.phase,
      tailMerged: this.tailMerged,
      lagMs: this.phase === 'copying' && since !== null ? Math.max(0, this.#clock.now() - since) : null,
      touchedKeys: keys,
      copiedKeys: copied,
      conflicts,
      trouble: this.workTrouble ?? this.followTrouble,
    };
  }

  async count(now: boolean): Promise<void> {
    if (!now && this.#clock.monotonic() - this.#countedAt < COUNT_EVERY_MS) return;
    const counts = await this.#link.with((session) => this.#journal.counts(session));
    const { rows } = await this.#link.run(
      `SELECT count(*)::text AS n FROM db_redundancy.conflicts AS c JOIN db_redundancy.catchup AS u ON u.stream = c.stream AND u.failover_epoch = c.failover_epoch WHERE c.stream = $1`,
      [this.#stream],
    );
    this.#counts = { ...counts, conflicts: Number(rows[0]?.n ?? 0) };
    this.#countedAt = this.#clock.monotonic();
  }
}
