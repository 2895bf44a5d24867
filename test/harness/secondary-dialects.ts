/**
 * The kinds of secondary that a test can run against. One that is not at hand is skipped where everybody sees it: in the
 * report of the tests, and in a line at the end of the run.
 *
 *     describeDialects('apply', (dialect) => {
 *       it('...', async () => { await using pair = await createDatabasePair('apply', dialect); ... });
 *     });
 */
import { describe, inject } from 'vitest';

export type SecondaryDialect = 'postgres' | 'cockroach';

export interface DialectChoice {
  readonly dialect: SecondaryDialect;
  readonly available: boolean;
  /** Why it is not available, and what to set. */
  readonly reason?: string;
}

const cockroach = inject('cockroach');

export const secondaryDialects: readonly DialectChoice[] = [
  { dialect: 'postgres', available: true },
  {
    dialect: 'cockroach',
    available: cockroach.available,
    ...(cockroach.reason === null ? {} : { reason: cockroach.reason }),
  },
];

/** One suite per dialect, named `<name> [<dialect>]`; the reporter counts by that name. */
export function describeDialects(name: string, body: (dialect: SecondaryDialect) => void): void {
  for (const { dialect, available } of secondaryDialects) {
    describe.skipIf(!available)(`${name} [${dialect}]`, () => body(dialect));
  }
}
