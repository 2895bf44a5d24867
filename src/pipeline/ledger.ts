/**
 * The ledger of positions. Received is not applied, applied is not durable, and only durable may be confirmed to the
 * slot (G2). Pure: no clock of its own, no I/O.
 */
import { LSN_ZERO, type Lsn, maxLsn } from '../core/lsn.js';

export class Ledger {
  /** Newest position of the source that anything has told us. */
  source: Lsn = LSN_ZERO;
  received: Lsn = LSN_ZERO;
  /** Everything before it has been applied, or needs nothing to be applied. */
  applied: Lsn;
  /** Stored in the secondary's checkpoint: what the slot is told. */
  durable: Lsn;
  lastAppliedCommitAtMs: number | null = null;
  /** Commit time of the oldest transaction received and not applied; null when there is none. */
  oldestUnappliedAtMs: number | null = null;
  /** The apply loop has something in its hands: a keepalive's position says nothing about it. */
  busy = false;
  /** The server asked for a confirmation: it may be waiting for one to shut down. */
  asked = false;
  /** Server clock minus ours, milliseconds, from the last keepalive. */
  clockOffsetMs = 0;
  /** Our clock when the source was last heard; null before the first word of a session. */
  lastHeardMs: number | null = null;
  /** When we were last known to have applied everything that the source had. */
  caughtUpAtMs: number | null = null;

  /** Changes handed to the queue, and changes that were applied, skipped for a paused table, or kept as dead letters. */
  changesReceived = 0;
  changesSettled = 0;
  #announced: { readonly lsn: Lsn; readonly atMs: number } | null = null;
  #unaccounted = 0;
  /** Where the source was when the session began. */
  #goal: Lsn = LSN_ZERO;

  constructor(start: Lsn) {
    this.applied = start;
    this.durable = start;
    this.source = start;
    this.received = start;
  }

  heard(lsn: Lsn, nowMs: number): void {
    this.received = maxLsn(this.received, lsn);
    this.source = maxLsn(this.source, lsn);
    this.lastHeardMs = nowMs;
  }

  /** The primary's own word on where its WAL ends: what was written meanwhile may not have been sent yet. */
  sourceAt(lsn: Lsn): void {
    this.source = maxLsn(this.source, lsn);
  }

  /**
   * A session begins with the source at `source`, perhaps far ahead: until that is reached, or the first word of what
   * lies between has come, we are as old as the last commit that was applied.
   */
  begins(source: Lsn, appliedCommitAtMs: number | null): void {
    this.sourceAt(source);
    this.#goal = source;
    this.caughtUpAtMs = appliedCommitAtMs;
  }

  get #level(): boolean {
    return this.applied >= this.#goal;
  }

  /** Nothing received is unapplied: what the source has sent up to `lsn` concerns us no more. */
  idle(lsn: Lsn, nowMs: number): void {
    this.applied = maxLsn(this.applied, lsn);
    if (this.#level) this.caughtUpAtMs = nowMs;
  }

  /** The same, as soon as what was received before is applied: the source, silent, may not repeat it for long. */
  idleNext(lsn: Lsn, nowMs: number): void {
    this.#announced = { lsn, atMs: nowMs };
  }

  /** Everything that was received is applied. */
  becameIdle(): void {
    if (this.#announced !== null) this.idle(this.#announced.lsn, this.#announced.atMs);
    this.#announced = null;
  }

  appliedThrough(lsn: Lsn, commitAtMs: number): void {
    this.applied = maxLsn(this.applied, lsn);
    this.lastAppliedCommitAtMs = commitAtMs;
    if (!this.#level) this.caughtUpAtMs = commitAtMs;
  }

  durableThrough(lsn: Lsn): void {
    this.durable = maxLsn(this.durable, lsn);
    this.applied = maxLsn(this.applied, lsn);
  }

  /** Changes that were received and never settled (G9: none). Known whenever nothing is under way. */
  unaccounted(queued: number): number {
    if (queued === 0 && !this.busy) this.#unaccounted = this.changesReceived - this.changesSettled;
    return this.#unaccounted;
  }

  /** WAL bytes between what the source has and what is applied. */
  lagBytes(): number {
    return this.source > this.applied ? Number(this.source - this.applied) : 0;
  }

  /**
   * Seconds that the secondary is behind: the age of the oldest commit not applied. When the source is silent
   * (`connected` false, or nothing has come yet of what it had before we connected), the time since we last knew to be
   * level with it, since it may have committed meanwhile.
   */
  lagSeconds(nowMs: number, connected: boolean): number {
    let behindMs = 0;
    if (this.oldestUnappliedAtMs !== null) behindMs = nowMs + this.clockOffsetMs - this.oldestUnappliedAtMs;
    else if ((!connected || !this.#level) && this.caughtUpAtMs !== null) behindMs = nowMs - this.caughtUpAtMs;
    return Math.max(0, Math.round(behindMs)) / 1000;
  }
}

/** How far an idle stream may be ahead of its stored checkpoint, so that an idle system costs few statements. */
export interface IdlePolicy {
  readonly maxBytes: number;
  readonly maxMs: number;
  readonly minMs: number;
}

export const DEFAULT_IDLE_POLICY: IdlePolicy = { maxBytes: 4 << 20, maxMs: 60_000, minMs: 250 };

/** Whether the position of an idle stream should be stored now. */
export function shouldStoreIdle(ahead: bigint, sinceLastMs: number, policy: IdlePolicy, asked = false): boolean {
  if (sinceLastMs >= policy.maxMs) return true;
  const due = asked ? ahead > 0n : ahead >= BigInt(policy.maxBytes);
  return due && sinceLastMs >= policy.minMs;
}
