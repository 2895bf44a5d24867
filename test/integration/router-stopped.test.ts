/** G6: a process that was stopped beyond its lease, while the databases were switched, writes nothing to the old side. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ask } from '../harness/broker.js';
import { TestProcess } from '../harness/process.js';
import { waitFor } from '../harness/wait.js';
import { Routing } from './support/routing.js';

const WRITER = join(fileURLToPath(new URL('.', import.meta.url)), 'support', 'writer.mjs');
const SCHEMA = 'CREATE TABLE t (id serial, kind text)';

async function startWriter(routing: Routing, onAuthorityLost: 'trust' | 'hold') {
  const options = JSON.stringify(routing.options({ onAuthorityLost, holdTimeoutMs: 2_000 }));
  const writer = TestProcess.spawn(process.execPath, [WRITER, await ask('dist'), options]);
  await writer.waitForLine(/transaction ok/);
  await writer.waitForLine(/single ok/);
  return writer;
}

/** Stops the process, switches when its lease has run out, and gives the rows that the old side has then. */
async function switchWhileStopped(routing: Routing, writer: TestProcess): Promise<number> {
  writer.kill('SIGSTOP');
  routing.publish({ active: 'secondary', phase: 'hold' });
  expect((await routing.withdrawn()).expired).toHaveLength(1);
  routing.publish({ active: 'secondary', state: 'SECONDARY_ACTIVE' });
  // What was sent before the stop has arrived long ago: no statement is running.
  return routing.count('primary', 't');
}

describe('a process that is stopped past its lease', () => {
  it.each(['trust', 'hold'] as const)(
    "'%s': the first authority it reaches corrects it before its next write",
    async (mode) => {
      await using routing = await Routing.open({ schema: SCHEMA, leaseMs: 800, renewMs: 200 });
      await using writer = await startWriter(routing, mode);
      const before = await switchWhileStopped(routing, writer);
      writer.kill('SIGCONT');
      await waitFor(() => routing.count('secondary', 't', "kind = 'transaction'"), { what: 'writes on the new side' });
      expect(await routing.count('primary', 't')).toBe(before);
      // What was open or under way when it was stopped ends with the contract's error. 40003 is for a statement or COMMIT
      // whose answer lay unread: it was sent before the stop, and is among the rows that were counted or is not there.
      const told = writer.output();
      expect(told).not.toMatch(/undefined|connect /);
      for (const kind of ['single', 'transaction'])
        expect(told.split(`${kind} 40003`).length - 1, told).toBeLessThanOrEqual(1);
    },
  );

  it("'hold' without any authority: writes nothing on either side", async () => {
    await using routing = await Routing.open({ schema: SCHEMA, leaseMs: 800, renewMs: 200 });
    await using writer = await startWriter(routing, 'hold');
    const before = await switchWhileStopped(routing, writer);
    await routing.killController();
    writer.kill('SIGCONT');
    await writer.waitForLine(/single 57P03 AuthorityLostError/);
    expect(await routing.count('primary', 't')).toBe(before);
    expect(await routing.count('secondary', 't')).toBe(0);
  });
});
