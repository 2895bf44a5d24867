/**
 * The order of test files: the longest first, so that both workers end together. Vitest orders by what it remembers of
 * the last run, and a fresh checkout (CI) remembers nothing. `file-seconds.json` need not be exact: it is the order of the
 * long ones that counts.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import weights from './file-seconds.json' with { type: 'json' };

const seconds: Readonly<Record<string, number>> = weights;

/** A file that nobody has measured may be a long one. */
const UNKNOWN_SECONDS = 30;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const weight = ({ moduleId }: TestSpecification): number => {
      const name = moduleId.replace(/^.*\/test\//, '').replace(/\.test\.ts$/, '');
      // Unit tests that are not listed take no time.
      return seconds[name] ?? (name.startsWith('unit/') ? 0 : UNKNOWN_SECONDS);
    };
    return [...files].sort((a, b) => weight(b) - weight(a) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}
