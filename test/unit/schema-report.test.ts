import { expect, it } from 'vitest';
import type { Conflict } from '../../src/schema/diff-parts.js';
import { buildReport, reportLines } from '../../src/schema/report.js';
import { translate } from '../../src/schema/translate.js';
import { catalog, cockroach, column, postgres, table } from './schema-builders.js';

it('lists every deviation once, sorted, with its reason', () => {
  const source = catalog(
    [table('z', [column('id', 'int4'), column('doc', 'json')]), table('a', [column('id', 'xml')])],
    {
      skipped: [{ table: { schema: 'public', name: 'scratch' }, reason: 'it is unlogged' }],
    },
  );
  const report = buildReport(translate(source, cockroach()));
  expect(reportLines(report)).toEqual([
    '2 tables translated; 3 things different on the secondary:',
    '  public.a.id [type] xml becomes STRING with the original text',
    '  public.scratch [table] not replicated: it is unlogged',
    '  public.z.doc [type] json becomes JSONB: order and duplicate keys are not kept',
  ]);
  expect(JSON.parse(JSON.stringify(report))).toMatchObject({
    secondary: { dialect: 'cockroach' },
    tables: 2,
    deviationsByKind: { type: 2, table: 1 },
    promotion: [],
    conflicts: [],
  });
});

it('says so when nothing differs', () => {
  const report = buildReport(translate(catalog([table('t', [column('id', 'int4')])]), postgres()));
  expect(reportLines(report)).toEqual(['1 table translated; nothing differs on the secondary.']);
});

it('puts conflicts last, each with the statement that mends it', () => {
  const conflict: Conflict = {
    table: { schema: 'public', name: 't' },
    kind: 'foreign-key',
    object: 'public.t.fk',
    reason: 'a standby has no foreign keys',
    remedy: 'ALTER TABLE "public"."t" DROP CONSTRAINT IF EXISTS "fk"',
  };
  const lines = reportLines(buildReport(translate(catalog([]), postgres()), [conflict, { ...conflict, remedy: null }]));
  expect(lines).toEqual([
    '0 tables translated; nothing differs on the secondary.',
    '2 conflicts on the secondary, to be mended by hand:',
    '  public.t.fk [foreign-key] a standby has no foreign keys',
    '    ALTER TABLE "public"."t" DROP CONSTRAINT IF EXISTS "fk";',
    '  public.t.fk [foreign-key] a standby has no foreign keys',
  ]);
});
