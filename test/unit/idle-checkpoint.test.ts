import { expect, it } from 'vitest';
import type { Checkpoint } from '../../src/apply/checkpoint.js';
import type { Applier } from '../../src/pipeline/applier.js';
import { Ledger } from '../../src/pipeline/ledger.js';
import { EntryQueue } from '../../src/pipeline/queue.js';
import { TableRegistry } from '../../src/pipeline/registry.js';
import { ApplyLoop } from '../../src/pipeline/run.js';
import { zeroCounters } from '../../src/streamer/counters.js';
import { FakeClock } from '../harness/fake-clock.js';

/** What an idle stream stores at `lsn`, when it began at 100 with a transaction at 500 applied in part. */
async function storedAt(lsn: bigint): Promise<Checkpoint> {
  const start = { lsn: 100n, commitAtMs: null, partialLsn: 500n, partialChanges: 7 };
  const abort = new AbortController();
  const ledger = new Ledger(start.lsn);
  ledger.idle(lsn, 0);
  const stored: Checkpoint[] = [];
  const applier: Pick<Applier, 'moveCheckpoint'> = {
    async moveCheckpoint(checkpoint) {
      stored.push(checkpoint);
      abort.abort();
    },
  };
  const loop = new ApplyLoop({
    queue: new EntryQueue({ highBytes: 1, lowBytes: 1 }, { pause: () => undefined, resume: () => undefined }),
    applier: applier as Applier,
    registry: new TableRegistry(),
    ledger,
    limits: { maxRows: 1, maxBytes: 1 },
    largeTransactions: 'chunked',
    idlePolicy: { maxBytes: 1, maxMs: 0, minMs: 0 },
    clock: new FakeClock(),
    counters: zeroCounters(),
    start,
    prepare: async () => undefined,
    derive: async () => [],
    onWatermark: async () => undefined,
    onCommit: () => undefined,
    confirm: () => undefined,
  });
  await loop.run(abort.signal);
  return stored[0] as Checkpoint;
}

it('G3 keeps what is applied of a transaction that is still to come, while the stream idles before it', async () => {
  expect(await storedAt(499n)).toMatchObject({ lsn: 499n, partialLsn: 500n, partialChanges: 7 });
  expect(await storedAt(500n)).toMatchObject({ lsn: 500n, partialLsn: 500n, partialChanges: 7 });
});

it('forgets it once the stream has passed it', async () => {
  expect(await storedAt(501n)).toMatchObject({ lsn: 501n, partialLsn: null, partialChanges: 0 });
});
