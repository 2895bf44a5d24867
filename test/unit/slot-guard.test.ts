/** Whether a slot continues a checkpoint: every way in which it does not is a full sync, never silence (G2, G9). */
import { describe, expect, it } from 'vitest';
import type { SlotInfo } from '../../src/source/slot.js';
import { decideStart } from '../../src/streamer/slot-guard.js';

const SLOT: SlotInfo = {
  name: 's',
  plugin: 'pgoutput',
  database: 'app',
  active: false,
  restartLsn: 800n,
  confirmedFlushLsn: 1000n,
  walStatus: 'reserved',
  retainedBytes: 0,
};
const CHECKPOINT = { lsn: 1000n, systemId: '7' };
const SOURCE = { systemId: '7', insertLsn: 2000n };

describe('decideStart', () => {
  it.each<[string, SlotInfo]>([
    ['is at the checkpoint', SLOT],
    ['is behind it: what it repeats is dropped', { ...SLOT, confirmedFlushLsn: 900n }],
    ['is active', { ...SLOT, active: true }],
    ['holds more WAL than it should', { ...SLOT, walStatus: 'unreserved' }],
    ['has an unknown WAL status', { ...SLOT, walStatus: null }],
  ])('streams when the slot %s', (_, slot) => {
    expect(decideStart(CHECKPOINT, slot, SOURCE)).toEqual({ kind: 'stream' });
  });

  it('streams when the primary stands exactly at the checkpoint', () => {
    expect(decideStart(CHECKPOINT, SLOT, { ...SOURCE, insertLsn: 1000n })).toEqual({ kind: 'stream' });
  });

  it.each([
    ['', '7'],
    ['7', ''],
    ['', ''],
  ])('streams when a system identifier cannot be read (%j, %j)', (ours, theirs) => {
    expect(decideStart({ ...CHECKPOINT, systemId: ours }, SLOT, { ...SOURCE, systemId: theirs })).toEqual({
      kind: 'stream',
    });
  });

  it.each<[string, SlotInfo | null, RegExp]>([
    ['is missing', null, /missing/],
    ['lost WAL', { ...SLOT, walStatus: 'lost' }, /removed WAL/],
    ['has no restart position', { ...SLOT, restartLsn: null }, /removed WAL/],
    ['has no confirmed position', { ...SLOT, confirmedFlushLsn: null }, /removed WAL/],
  ])('orders a full sync and a new slot when the slot %s', (_, slot, reason) => {
    expect(decideStart(CHECKPOINT, slot, SOURCE)).toEqual({
      kind: 'full-sync',
      reason: expect.stringMatching(reason),
      from: null,
    });
  });

  it('orders a full sync from the slot when that is past the checkpoint, by one byte even', () => {
    expect(decideStart(CHECKPOINT, { ...SLOT, confirmedFlushLsn: 1001n }, SOURCE)).toEqual({
      kind: 'full-sync',
      reason: expect.stringMatching(/0\/3E9, past the checkpoint 0\/3E8/),
      from: 1001n,
    });
  });

  it('orders a full sync when the primary is another cluster', () => {
    expect(decideStart(CHECKPOINT, SLOT, { ...SOURCE, systemId: '8' })).toMatchObject({
      kind: 'full-sync',
      reason: expect.stringMatching(/another database cluster/),
      from: 1000n,
    });
  });

  it('orders a full sync when the primary is an older copy', () => {
    expect(decideStart(CHECKPOINT, { ...SLOT, confirmedFlushLsn: 400n }, { ...SOURCE, insertLsn: 999n })).toMatchObject(
      { kind: 'full-sync', reason: expect.stringMatching(/older copy/), from: 400n },
    );
  });
});
