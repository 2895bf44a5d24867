/** Says at the end of a run whether CockroachDB took part: a skip that nobody sees looks like a success. */
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import type { CockroachInfo } from './broker.js';

export class CockroachReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const info: CockroachInfo | undefined = this.#vitest?.getRootProject().getProvidedContext().cockroach;
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const concerned = tests.filter((test) => /cockroach/i.test(test.fullName));
    if (info === undefined || concerned.length === 0) return;
    const skipped = concerned.filter((test) => test.result().state === 'skipped').length;
    const line = info.available
      ? `CockroachDB: ${info.source}, ${concerned.length - skipped} tests run, ${skipped} skipped`
      : `CockroachDB: not found, ${skipped} tests skipped (set TEST_COCKROACH_URL or COCKROACH_BIN)`;
    this.#vitest?.logger.log(`\n ${line}`);
  }
}
