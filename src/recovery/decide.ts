/**
 * Which version of a row stands, when the primary has changed it without the secondary's knowing (the tail) and the
 * secondary may have written it since: pure. Last write wins; the primary wins a tie (SPEC 7). Times are microseconds.
 */

/** One side's present version of a row, as far as the decision needs it. */
export interface SideVersion {
  readonly exists: boolean;
  /** `updated_at`, where the table has one and the row exists. */
  readonly updatedAt: bigint | null;
}

export interface Evidence {
  readonly primary: SideVersion;
  readonly secondary: SideVersion;
  /** When the primary's last change of it committed; null when its WAL could not be read. */
  readonly primaryChangedAt: bigint | null;
  /** The tail inserted it: no such row was on the secondary when it was opened. */
  readonly born: boolean;
  /** Whether the secondary has written it since it was opened; unknown when some of its changes were missed. */
  readonly written: 'yes' | 'no' | 'unknown';
  readonly secondaryChangedAt: bigint | null;
  /** The stream had not kept the table up to date: its rows on the secondary may be old, although nobody wrote them. */
  readonly stale: boolean;
}

export interface Decision {
  readonly winner: 'primary' | 'secondary';
  readonly rule: 'untouched' | 'updated_at' | 'commit-time' | 'active-side' | 'stale-side';
  /** Both sides wrote: the loser is to be kept. */
  readonly conflict: boolean;
}

export function decide(evidence: Evidence): Decision {
  const { primary, secondary, written } = evidence;
  if (written === 'no' || (written === 'unknown' && evidence.born && !secondary.exists))
    return { winner: 'primary', rule: 'untouched', conflict: false };
  if (primary.updatedAt !== null && secondary.updatedAt !== null) {
    // Without a journal a tie says that only one of the two may have been written: acknowledged writes must not be lost.
    const tie = written === 'yes' || evidence.primaryChangedAt !== null || evidence.stale;
    const primaryWins = primary.updatedAt > secondary.updatedAt || (tie && primary.updatedAt === secondary.updatedAt);
    return { winner: primaryWins ? 'primary' : 'secondary', rule: 'updated_at', conflict: true };
  }
  const ours = primary.updatedAt ?? evidence.primaryChangedAt;
  const theirs = secondary.updatedAt ?? evidence.secondaryChangedAt;
  if (written === 'yes' && ours !== null && theirs !== null)
    return { winner: ours >= theirs ? 'primary' : 'secondary', rule: 'commit-time', conflict: true };
  // Far more likely left behind than written.
  if (written === 'unknown' && evidence.stale && primary.exists)
    return { winner: 'primary', rule: 'stale-side', conflict: secondary.exists };
  // A row that only the secondary has is no version of the primary's that would be lost.
  return { winner: 'secondary', rule: 'active-side', conflict: primary.exists || evidence.primaryChangedAt !== null };
}
