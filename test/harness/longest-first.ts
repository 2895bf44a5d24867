/**
 * The order of test files: the longest first, so that both workers end together. Vitest orders by what it remembers of
 * the last run, and a fresh checkout (CI) remembers nothing.
 */
import { basename } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import weights from './file-seconds.json' with { type: 'json' };

const seconds: Readonly<Record<string, number>> = weights;

/** A file that nobody has measured may be a long one. */
const UNKNOWN_SECONDS = 30;

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const weight = ({ moduleId }: TestSpecification): number => {
      const name = basename(moduleId, '.test.ts');
      // What is not listed among the unit tests takes no time.
      return seconds[name] ?? (moduleId.includes('/test/unit/') ? 0 : UNKNOWN_SECONDS);
    };
    return [...files].sort((a, b) => weight(b) - weight(a) || (a.moduleId < b.moduleId ? -1 : 1));
  }
}
