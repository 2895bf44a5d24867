/** What a workload found: turns of ours and of the opponent, in pairs that met the same machine; medians and ratios. Pure. */

export type Aim =
  | { readonly of: 'ratio' | 'ours'; readonly least: number }
  | { readonly of: 'ratio' | 'ours'; readonly most: number };

export interface Figure {
  /** P1 to P12. */
  readonly id: string;
  readonly workload: string;
  readonly unit: string;
  /** One value a turn. */
  readonly ours: readonly number[];
  /** Null where the aim is a limit of its own. */
  readonly opponent: string | null;
  /** As many as ours, turn by turn; null without an opponent. */
  readonly theirs: readonly number[] | null;
  /** Null where the figure is there to be read only. */
  readonly aim: Aim | null;
  readonly notes: readonly string[];
}

/** A workload, or a part of it, that cannot run here. */
export interface Skipped {
  readonly id: string;
  readonly workload: string;
  readonly reason: string;
}

export interface Verdict {
  readonly ours: number;
  readonly theirs: number | null;
  /** Ours divided by theirs: the median over the pairs of turns; null without an opponent. */
  readonly ratio: number | null;
  /** Null where there is no aim. */
  readonly met: boolean | null;
}

/** Of at least one value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** @param share 0.5 for the median, 0.99 for the 99th percentile: the smallest value that so many do not exceed */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function judge({ aim, ours, theirs }: Figure): Verdict {
  const ratio = theirs === null ? null : median(ours.map((value, turn) => value / (theirs[turn] ?? Number.NaN)));
  const own = median(ours);
  const judged = aim?.of === 'ratio' ? ratio : own;
  const met = aim === null || judged === null ? null : 'least' in aim ? judged >= aim.least : judged <= aim.most;
  return { ours: own, theirs: theirs === null ? null : median(theirs), ratio, met };
}

export function aimText(aim: Aim | null, unit: string): string {
  if (aim === null) return '-';
  const [word, limit] = 'least' in aim ? ['at least', aim.least] : ['at most', aim.most];
  return `${word} ${aim.of === 'ratio' ? `${limit.toFixed(1)} x` : `${shortNumber(limit)} ${unit}`}`;
}

/** Three digits that say something; whole numbers from 1,000 on. */
export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return '-';
  if (size >= 1000) return Math.round(value).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}
