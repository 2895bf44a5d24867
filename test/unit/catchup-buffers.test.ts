/** The pure parts of a change source: changes up to a mark, the queue to the consumer, time, and why a feed ended. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CatchUpEvent } from '../../src/catchup/change-source.js';
import { endingOf } from '../../src/catchup/changefeed-ending.js';
import { changefeedSql } from '../../src/catchup/changefeed-query.js';
import { EventChannel } from '../../src/catchup/event-channel.js';
import type { FollowedTable } from '../../src/catchup/followed-tables.js';
import { formatHlc, hlcToMs, parseHlc } from '../../src/catchup/hlc.js';
import { KeyBuffer } from '../../src/catchup/key-buffer.js';

const TABLE: FollowedTable = {
  id: 0,
  name: { schema: 'public', name: 't' },
  shape: { key: ['id'], columns: ['id', 'v'], forms: new Map() },
  seen: new Map(),
};

function add(buffer: KeyBuffer, key: number, version: bigint): boolean {
  return buffer.add(TABLE, `[${key}]`, { id: String(key) }, version, { id: String(key), v: String(version) }, 100);
}

describe('changes up to a mark', () => {
  it('G7 gives the latest version of each key at every mark, each once, however the feed repeats itself', () => {
    const step = fc.record({ key: fc.nat(5), back: fc.nat(6), mark: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const buffer = new KeyBuffer(Number.MAX_SAFE_INTEGER, 0n);
        const history: { key: number; version: bigint }[] = [];
        const given = new Map<number, bigint>();
        let clock = 0n;
        let marked = 0n;
        for (const { key, back, mark } of steps) {
          clock += 1n;
          history.push({ key, version: clock });
          // The feed starts again some changes back, as from a cursor, and says them once more.
          for (const change of history.slice(-1 - back)) add(buffer, change.key, change.version);
          if (!mark) continue;
          // A mark lies behind the newest changes: those are kept for the next one.
          const at = clock - BigInt(back % 3);
          if (at <= marked) continue;
          marked = at;
          for (const row of buffer.resolve(at)) {
            const version = parseHlc(row.at);
            const id = Number(row.key.id);
            expect(version).toBeGreaterThan(given.get(id) ?? 0n);
            expect(version).toBeLessThanOrEqual(at);
            given.set(id, version);
          }
          for (const change of history)
            if (change.version <= at) expect(given.get(change.key)).toBeGreaterThanOrEqual(change.version);
        }
        buffer.resolve(clock);
        expect(buffer.bytes).toBe(0);
      }),
    );
  });

  it('G4 gives up values and not keys when more waits than may', () => {
    const buffer = new KeyBuffer(2000, 10n);
    expect(add(buffer, 1, 10n)).toBe(false);
    for (let key = 1; !buffer.overfull; key++) expect(add(buffer, key, 11n)).toBe(true);
    expect(add(buffer, 1, 11n)).toBe(false);
    const rows = buffer.spill();
    expect(rows.map((row) => [row.key.id, row.after])).toEqual(rows.map((_, i) => [String(i + 1), 'touched']));
    expect(rows.length).toBeGreaterThan(2);
    expect([buffer.bytes, buffer.resolve(20n)]).toEqual([0, []]);
  });
});

describe('the queue to the consumer', () => {
  const mark = (position: string): CatchUpEvent => ({ kind: 'resolved', position, atMs: 0 });
  const changes: CatchUpEvent = { kind: 'changes', rows: [], xid: null };

  it('says when it is full and when there is room, and waits for the consumer in between', async () => {
    const said: string[] = [];
    const channel = new EventChannel(
      { highBytes: 100, lowBytes: 50 },
      () => said.push('full'),
      () => said.push('room'),
    );
    for (let i = 0; i < 3; i++) channel.push(changes, 40);
    expect([said, channel.full]).toEqual([['full'], true]);
    let waited = true;
    const room = channel.room().then(() => {
      waited = false;
    });
    await channel.take();
    await Promise.resolve();
    expect(waited).toBe(true);
    await channel.take();
    await room;
    expect(said).toEqual(['full', 'room']);
  });

  it('keeps the newer of two marks with nothing in between', async () => {
    const channel = new EventChannel({ highBytes: 1000, lowBytes: 0 });
    for (const event of [mark('1'), mark('2'), changes, mark('3'), mark('4')]) channel.push(event, 10);
    expect([await channel.take(), await channel.take(), await channel.take()]).toEqual([mark('2'), changes, mark('4')]);
    expect(channel.bytes).toBe(0);
  });

  it('hands out what came before a failure, and then the failure; a close drops what waits', async () => {
    const failed = new EventChannel({ highBytes: 1000, lowBytes: 0 });
    failed.push(changes, 10);
    failed.end(new Error('lost'));
    failed.push(mark('1'), 10);
    expect(await failed.take()).toBe(changes);
    await expect(failed.take()).rejects.toThrow('lost');
    const closed = new EventChannel({ highBytes: 1000, lowBytes: 0 });
    closed.push(changes, 10);
    closed.end();
    expect(await closed.take()).toBeNull();
    const waiting = new EventChannel({ highBytes: 1000, lowBytes: 0 });
    const taken = waiting.take();
    waiting.end();
    expect(await taken).toBeNull();
  });
});

describe("CockroachDB's time", () => {
  it('orders as it is written, and survives the way through a bigint', () => {
    const texts = [
      '1795440934468068419.0000000002',
      '1795440934468068419.2147483647',
      '1795440934468068420.0000000000',
    ];
    expect(texts.map((text) => formatHlc(parseHlc(text)))).toEqual(texts);
    const values = texts.map(parseHlc);
    expect([...values].sort((a, b) => (a < b ? -1 : 1))).toEqual(values);
    expect(hlcToMs(values[0] as bigint)).toBe(1_795_440_934_468);
    expect(parseHlc('5.0000000001?')).toBe(parseHlc('5.0000000001'));
    expect(() => parseHlc('0/16B3748')).toThrow(RangeError);
  });
});

describe('why a changefeed ended', () => {
  const failure = (message: string, code = 'XXUUU') => Object.assign(new Error(message), { code, severity: 'ERROR' });

  it.for([
    [
      failure('schema change occurred at 1795440970891155452.0000000000', '55C01'),
      { kind: 'columns', at: '1795440970891155452.0000000000' },
    ],
    [failure('"t"x" was truncated'), { kind: 'truncated', table: 't"x' }],
    [failure('at or near "for": syntax error', '42601'), { kind: 'syntax' }],
    [failure('connection reset by node', '57P01'), { kind: 'retry' }],
    [failure('batch timestamp 1,0 must be after replica GC threshold 2,0'), { error: { code: 'cursor-too-old' } }],
    [
      failure('rangefeeds require the kv.rangefeed.enabled setting. See https://x'),
      { error: { code: 'rangefeeds-off' } },
    ],
    [
      failure('CHANGEFEEDs are currently supported on tables with exactly 1 column family: t has 2'),
      { error: { code: 'catch-up-schema-changed' } },
    ],
    [
      failure('current user must have a role WITH CONTROLCHANGEFEED', '42501'),
      { error: { code: 'changefeed-privilege', exitCode: 2 } },
    ],
    [new Error('Connection terminated unexpectedly'), { kind: 'retry' }],
    [new RangeError('defect'), { kind: 'fatal', error: { message: 'defect' } }],
  ] as const)('%s', ([error, expected]) => {
    expect(endingOf(error, '1.0000000000')).toMatchObject(expected);
  });
});

describe('the statement', () => {
  it('quotes every name', () => {
    const sql = changefeedSql(
      'EXPERIMENTAL CHANGEFEED FOR',
      [
        { schema: 'S c', name: 'a"b' },
        { schema: 'public', name: 't' },
      ],
      `1'`,
    );
    expect(sql).toMatch(/^EXPERIMENTAL CHANGEFEED FOR "S c"\."a""b", "public"\."t" WITH updated, /);
    expect(sql).toMatch(/cursor = '1'''$/);
  });
});
