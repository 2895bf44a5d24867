import { describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/core/errors.js';
import { gcSecondsOf } from '../../src/preflight/cockroach.js';
import { compareSides } from '../../src/preflight/compare.js';
import { assertPreflight, formatPreflight } from '../../src/preflight/report.js';
import { check, type PreflightResult } from '../../src/preflight/result.js';
import type { ServerIdentity } from '../../src/preflight/session.js';
import { checkVersion, parseServerVersion } from '../../src/preflight/version.js';

describe('server versions', () => {
  it.each<[string, string, boolean, boolean]>([
    ['PostgreSQL 18.4 (Debian 18.4-1) on x86_64-pc-linux-gnu, compiled by gcc', 'PostgreSQL 18.4', true, true],
    ['PostgreSQL 14.0 on x86_64', 'PostgreSQL 14.0', true, true],
    ['PostgreSQL 17beta1 on x86_64', 'PostgreSQL 17.0', true, true],
    ['PostgreSQL 13.22 on x86_64', 'PostgreSQL 13.22', false, false],
    ['CockroachDB CCL v25.2.1 (x86_64-pc-linux-gnu, built 2025/06/01)', 'CockroachDB 25.2', false, true],
    ['CockroachDB OSS v22.1.0-alpha.1 (x86_64, built , go1.17)', 'CockroachDB 22.1', false, true],
    ['CockroachDB CCL v21.2.17 (x86_64)', 'CockroachDB 21.2', false, false],
    ['8.0.36 MySQL', 'neither PostgreSQL nor CockroachDB', false, false],
  ])('%s', (text, label, primary, secondary) => {
    expect(parseServerVersion(text)?.label ?? label).toBe(label);
    expect(checkVersion('primary', text)).toMatchObject({ ok: primary, detail: label, severity: 'error' });
    expect(checkVersion('secondary', text)).toMatchObject({ ok: secondary, detail: label, severity: 'error' });
  });

  it('newer than what was tested is a warning', () => {
    expect(checkVersion('primary', 'PostgreSQL 19.1')).toMatchObject({ ok: false, severity: 'warning' });
  });
});

describe('compareSides', () => {
  const side = (more: Partial<ServerIdentity> = {}): ServerIdentity => ({
    version: { dialect: 'postgres', major: 18, minor: 4, label: 'PostgreSQL 18.4' },
    database: 'a',
    clockOffsetMs: 1000,
    clockErrorMs: 10,
    ...more,
  });
  const faults = (a: ServerIdentity, b: ServerIdentity) => compareSides(a, b).filter((result) => !result.ok);

  it('passes for two databases with clocks that agree', () => {
    expect(faults(side(), side({ database: 'b', clockOffsetMs: 5900 }))).toEqual([]);
    expect(faults(side(), side({ database: null }))).toEqual([]);
  });

  it('refuses one database on both sides', () => {
    expect(faults(side(), side())).toMatchObject([{ id: 'both-different', severity: 'error' }]);
  });

  it.each([
    [7000, 'ahead of'],
    [-5000, 'behind'],
  ])('warns of clocks: %i', (clockOffsetMs, words) => {
    expect(faults(side(), side({ database: 'b', clockOffsetMs }))).toMatchObject([
      { id: 'both-clocks', severity: 'warning', detail: `the clock of the secondary is 6.0 s ${words} the primary's` },
    ]);
  });

  it('does not blame clocks for a slow line', () => {
    expect(faults(side(), side({ database: 'b', clockOffsetMs: 6500, clockErrorMs: 3000 }))).toEqual([]);
  });
});

it('gcSecondsOf reads the zone configuration of CockroachDB', () => {
  expect(
    gcSecondsOf(
      'ALTER RANGE default CONFIGURE ZONE USING\n\trange_max_bytes = 536870912,\n\tgc.ttlseconds = 4500,\n\tnum_replicas = 3',
    ),
  ).toBe(4500);
  expect(gcSecondsOf('ALTER RANGE default CONFIGURE ZONE USING num_replicas = 3')).toBeNull();
});

describe('the report', () => {
  const results: PreflightResult[] = [
    check('primary-a', 'First', { detail: 'fine' }),
    check('primary-b', 'Second', { detail: 'x', problem: { detail: 'wrong', remedy: 'ALTER ONE;\nALTER TWO;' } }),
    check('secondary-c', 'Third', { detail: 'odd', problem: { severity: 'warning', remedy: 'Look at it.' } }),
    check('both-d', 'Fourth', { detail: 'bad', problem: {} }),
  ];

  it('has a mark for each check, and the mending statements', () => {
    expect(formatPreflight(results, { color: false })).toBe(
      [
        'Primary',
        '  ✓ First: fine',
        '  ✗ Second: wrong',
        '      ALTER ONE;',
        '      ALTER TWO;',
        'Secondary',
        '  ! Third: odd',
        '      Look at it.',
        'Both',
        '  ✗ Fourth: bad',
        '',
        '4 checks, 2 errors, 1 warning',
      ].join('\n'),
    );
    expect(formatPreflight(results, { color: true })).toContain('\u001b[31m✗');
  });

  it('assertPreflight names all errors at once, with exit code 2', () => {
    let thrown: unknown;
    try {
      assertPreflight(results);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(ConfigurationError);
    expect(thrown).toMatchObject({
      exitCode: 2,
      code: 'preflight-failed',
      message: '2 checks failed, nothing was created:\n  Primary: Second: wrong\n  Both: Fourth: bad',
      remedy: 'ALTER ONE;\nALTER TWO;',
    });
  });

  it('assertPreflight lets warnings go by', () => {
    expect(() => assertPreflight(results.filter((each) => each.ok || each.severity === 'warning'))).not.toThrow();
  });
});
