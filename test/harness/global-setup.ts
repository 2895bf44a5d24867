/** Once for a whole run: what test files share, made on demand and taken down at the end. */
import type { TestProject } from 'vitest/node';
import { EmbeddedServer } from '../../src/demo/embedded.js';
import { type EmbeddedBinaries, locateBinaries } from '../../src/demo/embedded-binaries.js';
import { Broker } from './broker.js';
import { buildDist } from './build-dist.js';
import { detectCockroach, startCockroach } from './cockroach.js';
import { oldestPrimary } from './oldest-primary.js';

/** Durability against power loss is of no use to databases that live for minutes. */
const THROW_AWAY = { fsync: 'off', full_page_writes: 'off' };

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const closers: Array<() => Promise<void>> = [];
  const server = async (name: string, binaries?: EmbeddedBinaries): Promise<string> => {
    const started = await EmbeddedServer.start({ name, settings: THROW_AWAY, ...(binaries ? { binaries } : {}) });
    closers.push(() => started.close());
    return started.url();
  };
  const found = await detectCockroach();
  const broker = await Broker.start({
    primary: () => server('primary'),
    oldestPrimary: async () => server('oldest', await locateBinaries(await oldestPrimary())),
    secondary: () => server('secondary'),
    cockroach: async () => {
      const started = await startCockroach(found);
      closers.push(async () => started[Symbol.asyncDispose]());
      return started.url;
    },
    dist: buildDist,
  });
  project.provide('brokerUrl', broker.url);
  project.provide('cockroach', found.info);
  return async () => {
    await broker[Symbol.asyncDispose]();
    await Promise.all(closers.map((close) => close()));
  };
}
