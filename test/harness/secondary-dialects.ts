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

/**
 * One suite per dialect, named `<name> [<dialect>]`; the reporter counts by that name.
 * @param long dialects that take so long that the suite runs with DB_TEST_LONG=1 only; skipped, and counted, otherwise
 */
export function describeDialects(
  name: string,
  body: (dialect: SecondaryDialect) => void,
  long: readonly SecondaryDialect[] = [],
): void {
  for (const { dialect, available } of secondaryDialects) {
    const runs = available && (!long.includes(dialect) || process.env.DB_TEST_LONG === '1');
    describe.skipIf(!runs)(`${name} [${dialect}]`, () => body(dialect));
  }
}
