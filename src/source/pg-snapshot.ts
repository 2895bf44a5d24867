/** What a query of PostgreSQL sees: which transactions had ended when its snapshot was taken. */

/** A snapshot as `pg_current_snapshot()` prints it: `xmin:xmax:xip,xip`. Transaction ids cut to 32 bits, as pgoutput has them. */
export interface SourceSnapshot {
  readonly running: readonly number[];
  isVisible(xid: number): boolean;
}

export function parseSnapshot(text: string): SourceSnapshot {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
  if (!match) throw new RangeError(`Not a snapshot: ${JSON.stringify(text)}`);
  const low32 = (digits: string) => Number(BigInt.asUintN(32, BigInt(digits)));
  const xmax = low32(match[2] as string);
  const running = (match[3] as string)
    .split(',')
    .filter((digits) => digits !== '')
    .map(low32);
  const set = new Set(running);
  // Modular comparison, as PostgreSQL's own: transaction ids wrap.
  return { running, isVisible: (xid) => ((xid - xmax) | 0) < 0 && !set.has(xid) };
}
