/** Says at the end of a run whether a browser took part: a skip that nobody sees looks like a success. */
import type { Reporter, TestModule, Vitest } from 'vitest/node';
import { CHROMIUM } from './chromium.js';

export class ChromiumReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const concerned = tests.filter((test) => test.fullName.includes('in Chromium'));
    if (concerned.length === 0) return;
    const skipped = concerned.filter((test) => test.result().state === 'skipped').length;
    this.#vitest?.logger.log(
      CHROMIUM === null
        ? `\n Chromium: not found, ${skipped} tests skipped (set CHROMIUM_PATH)`
        : `\n Chromium: ${CHROMIUM}, ${concerned.length - skipped} tests run, ${skipped} skipped`,
    );
  }
}
