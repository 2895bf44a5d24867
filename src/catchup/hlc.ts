/**
 * CockroachDB's hybrid logical time as decimal text: nanoseconds since the Unix epoch, a point, and ten digits of a
 * logical counter. In memory a bigint that orders alike: nanoseconds times 10^10 plus counter.
 */
export type Hlc = bigint;

// Some versions mark a time that no clock gave with a trailing question mark.
const PATTERN = /^(\d{1,19})(?:\.(\d{1,10}))?\??$/;
const LOGICAL = 10_000_000_000n;

/** Throws a RangeError on anything else. */
export function parseHlc(text: string): Hlc {
  const match = PATTERN.exec(text);
  if (!match) throw new RangeError(`Not a CockroachDB timestamp: ${JSON.stringify(text)}`);
  return BigInt(match[1] as string) * LOGICAL + BigInt((match[2] ?? '').padEnd(10, '0'));
}

export function formatHlc(hlc: Hlc): string {
  return `${hlc / LOGICAL}.${(hlc % LOGICAL).toString().padStart(10, '0')}`;
}

/** Milliseconds since the Unix epoch. */
export function hlcToMs(hlc: Hlc): number {
  return Number(hlc / LOGICAL / 1_000_000n);
}

export function earlier(a: Hlc, b: Hlc): Hlc {
  if (a < b) return a;
  return b;
}

export function later(a: Hlc, b: Hlc): Hlc {
  if (a > b) return a;
  return b;
}
