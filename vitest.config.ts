import { defineConfig } from 'vitest/config';
import { ChromiumReporter } from './test/harness/chromium-reporter.js';
import { CockroachReporter } from './test/harness/cockroach-reporter.js';
import { LongestFirst } from './test/harness/longest-first.js';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    setupFiles: ['test/harness/worker-setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Test files share two database servers, which want processors too.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    reporters: ['default', new CockroachReporter(), new ChromiumReporter()],
  },
});
