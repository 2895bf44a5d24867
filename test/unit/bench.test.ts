/** The pure parts of the benchmark: what becomes of turns, the table, and the file. */
import { describe, expect, it } from 'vitest';
import { aimText, type Figure, judge, median, percentile, shortNumber } from '../../src/bench/figures.js';
import { Mix } from '../../src/bench/mix.js';
import { psSeconds } from '../../src/bench/process-cost.js';
import { type BenchResult, figureLines, tableLines, toJson } from '../../src/bench/report.js';
import { colorsFor } from '../../src/log/colors.js';

const THROUGHPUT: Figure = {
  ...{ id: 'P1', workload: 'rows in one transaction', unit: 'rows/s', ours: [100, 300, 200], opponent: 'native' },
  ...{ theirs: [100, 100, 400], aim: { of: 'ratio', least: 1 }, notes: ['a note'] },
};
const LIMIT: Figure = {
  ...{ id: 'P10', workload: 'peak memory', unit: 'MiB', ours: [260], opponent: null, theirs: null },
  ...{ aim: { of: 'ours', most: 250 }, notes: [] },
};
const READ_ONLY: Figure = { ...THROUGHPUT, aim: null, notes: [] };
const SKIPPED = { id: 'P6', workload: 'to CockroachDB', reason: 'no CockroachDB was found' };

describe('figures', () => {
  it('median and percentile, of odd and even numbers of values', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(median([7])).toBe(7);
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
    expect([0.5, 0.99, 1].map((share) => percentile(hundred, share))).toEqual([50, 99, 100]);
    expect(percentile([5], 0.99)).toBe(5);
  });

  it('the ratio is the median of pairs of turns, not the quotient of medians', () => {
    // 1, 3 and 0.5: each turn met another machine.
    expect(judge(THROUGHPUT)).toEqual({ ours: 200, theirs: 100, ratio: 1, met: true });
    expect(judge({ ...THROUGHPUT, aim: { of: 'ratio', least: 1.2 } }).met).toBe(false);
    expect(judge({ ...THROUGHPUT, aim: { of: 'ratio', most: 1 } }).met).toBe(true);
  });

  it('a limit is judged without an opponent, and a figure without an aim not at all', () => {
    expect(judge(LIMIT)).toEqual({ ours: 260, theirs: null, ratio: null, met: false });
    expect(judge({ ...LIMIT, aim: { of: 'ours', most: 260 } }).met).toBe(true);
    expect(judge(READ_ONLY).met).toBeNull();
  });

  it('numbers and aims as people read them', () => {
    expect([123_456.7, 12.345, 0.01234, 0, Number.NaN].map(shortNumber)).toEqual([
      '123,457',
      '12.3',
      '0.0123',
      '0',
      '-',
    ]);
    expect(aimText({ of: 'ratio', least: 1.2 }, 'rows/s')).toBe('at least 1.2 x');
    expect(aimText({ of: 'ours', most: 250 }, 'MiB')).toBe('at most 250 MiB');
    expect(aimText(null, 'ms')).toBe('-');
  });

  it('processor time of ps, in each of its forms', () => {
    expect(['0:07', '0:01.50', '01:02:03', '2-00:00:01', ''].map(psSeconds)).toEqual([7, 1.5, 3723, 172_801, null]);
  });
});

describe('mix', () => {
  it('has 60 % updates, 30 % inserts and 10 % deletes, each of a row that is there or new, and of no other client', () => {
    const there = new Set(Array.from({ length: 100_000 }, (_, i) => i + 1));
    const clients = [0, 1, 2].map((client) => new Mix(client, 3));
    const counts = { insert: 0, update: 0, delete: 0 };
    const mistaken: unknown[] = [];
    for (let i = 0; i < 90_000; i += 1) {
      const { name, values } = (clients[i % 3] as Mix).draw();
      const kind = name?.slice('mix-'.length) as keyof typeof counts;
      const key: number = values?.[0];
      counts[kind] += 1;
      if (key % 3 !== (i + 1) % 3 || there.has(key) === (kind === 'insert')) mistaken.push({ kind, key });
      if (kind === 'insert') there.add(key);
      if (kind === 'delete') there.delete(key);
    }
    expect(mistaken).toEqual([]);
    expect(counts.update / 90_000).toBeCloseTo(0.6, 1);
    expect(counts.insert / 90_000).toBeCloseTo(0.3, 1);
    expect(counts.delete / 90_000).toBeCloseTo(0.1, 1);
  });
});

describe('report', () => {
  it('has a line for each figure in aligned columns, and says what was skipped and why', () => {
    const lines = tableLines([THROUGHPUT, LIMIT, READ_ONLY], [SKIPPED], colorsFor({ isTTY: false }));
    expect(lines[0]).toMatch(/^ +workload +ours +against +theirs +ratio +aim$/);
    expect(lines[1]).toMatch(/^P1 +rows in one transaction +200 rows\/s +native +100 +1\.00 x +at least 1\.0 x +met$/);
    expect(lines[2]).toMatch(/^P10 +peak memory +260 MiB +- +- +- +at most 250 MiB +missed$/);
    expect(lines[3]).toMatch(/^P1 .* -$/);
    expect(new Set(lines.slice(0, 3).map((line) => line.search(/against|native|(?<=MiB +)- /))).size).toBe(1);
    expect(tableLines([LIMIT], [], colorsFor({ isTTY: false }), false)[1]).toMatch(/at most 250 MiB$/);
    expect(lines.slice(-2)).toEqual(['Skipped:', 'P6  to CockroachDB: no CockroachDB was found']);
  });

  it('the line of a figure has every turn', () => {
    expect(figureLines(THROUGHPUT)).toEqual([
      'P1 rows in one transaction: 100, 300, 200 rows/s; native: 100, 100, 400; ratio 1.00',
      '   a note',
    ]);
  });

  it('the file has every turn, the judgement, the machine and the servers', () => {
    const result: BenchResult = {
      ...{ startedAt: '2026-01-24T20:00:00.000Z', turns: 3, size: 1 },
      machine: {
        ...{ cores: 2, processor: 'p', memoryBytes: 1, platform: 'linux 6', node: 'v20.19.0' },
        ...{ loadBefore: 0.1, loadAfter: 2 },
      },
      servers: { embedded: true, primary: 'PostgreSQL 18.4', secondary: 'PostgreSQL 18.4', cockroach: null },
      figures: [THROUGHPUT],
      skipped: [SKIPPED],
    };
    const parsed = JSON.parse(toJson(result));
    expect(parsed.figures[0]).toEqual({ ...THROUGHPUT, result: { ours: 200, theirs: 100, ratio: 1, met: true } });
    expect({ ...parsed, figures: [THROUGHPUT] }).toEqual(result);
  });
});
