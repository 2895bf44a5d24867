/** The SQL of a file: literals, what both databases read, and taking it apart again. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { quoteIdent } from '../../src/core/ident.js';
import { insertSql, parseInsert } from '../../src/transfer/import-statement.js';
import { quoted } from '../../src/transfer/literal.js';
import { eachIn, neutral, renderSql, same } from '../../src/transfer/portable-sql.js';
import { sharedExpression } from '../../src/transfer/shared-expression.js';
import { SqlReader } from '../../src/transfer/sql-reader.js';

const nasty = fc.string({
  unit: fc.constantFrom(...`'"\\;\n\r$-E\t é😀(),x`, '--', '\\if', '\n\\endif\n', "E'", '$x$'),
  maxLength: 12,
});

/** In pieces cut anywhere, as a file comes. */
function read(text: string, dialect: 'postgres' | 'cockroach', cuts: readonly number[] = []): string[] {
  const reader = new SqlReader(dialect);
  const places = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
  const pieces = [0, ...places].map((start, i) => text.slice(start, places[i] ?? text.length));
  const items = pieces.flatMap((piece) => reader.push(piece));
  expect(reader.atEnd).toBe(true);
  return items.filter((item) => item.kind === 'statement').map((item) => item.text);
}

describe('statements of a file', () => {
  it('come out whole, whatever names and values hold and wherever the pieces are cut', () => {
    const statement = fc.tuple(
      nasty,
      nasty,
      fc.array(fc.array(nasty, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(statement, { maxLength: 4 }), fc.array(fc.nat(2000), { maxLength: 30 }), (list, cuts) => {
        const sql = list.map(
          ([table, column, rows]) =>
            `INSERT INTO "s".${quoteIdent(`t${table}`)} (${quoteIdent(`c${column}`)}) VALUES\n${rows.map((row) => `(${row.map(quoted).join(',')})`).join(',\n')}`,
        );
        const text = sql.map((each, i) => `-- part: ${i}\n${each};\n`).join('');
        expect(read(text, 'postgres', cuts)).toEqual(sql);
        for (const [i, [table, column, rows]] of list.entries()) {
          expect(parseInsert(sql[i] as string)).toMatchObject({
            table: { schema: 's', name: `t${table}` },
            columns: [`c${column}`],
            rows: rows.length,
          });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('are those of the database at hand', () => {
    const text = `SET a = 1;\nSELECT version() LIKE 'C%' AS db_redundancy_on_cockroach \\gset\n${[
      renderSql(eachIn('CREATE a; CREATE b', 'CREATE c')),
      renderSql(same('CREATE d')),
      renderSql(eachIn(null, `COMMENT E'\\';' IS e'it\\'s;'`)),
      renderSql(eachIn('DO $x$ BEGIN; $y$;$y$ END $x$', null)),
    ].join('')}`;
    const cuts = Array.from({ length: text.length }, (_, i) => i);
    expect(read(text, 'postgres', cuts)).toEqual([
      'SET a = 1',
      'CREATE a',
      'CREATE b',
      'CREATE d',
      'DO $x$ BEGIN; $y$;$y$ END $x$',
    ]);
    expect(read(text, 'cockroach', cuts)).toEqual([
      'SET a = 1',
      'CREATE c',
      'CREATE d',
      `COMMENT E'\\';' IS e'it\\'s;'`,
    ]);
  });

  it('that are cut off are noticed', () => {
    const reader = new SqlReader('postgres');
    reader.push("INSERT INTO t VALUES ('a;");
    expect(reader.atEnd).toBe(false);
  });
});

describe('a value as a literal', () => {
  it('stands on one line', () => {
    expect(quoted('plain')).toBe("'plain'");
    expect(quoted("it's \\ ok")).toBe("'it''s \\ ok'");
    expect(quoted("a\\\n'b\r")).toBe("E'a\\\\\\n''b\\r'");
    fc.assert(fc.property(nasty, (text) => !/[\n\r]/.test(quoted(text))));
  });
});

describe('names of CockroachDB', () => {
  it('become those that both read, outside of quotes', () => {
    expect(neutral(`"STRING" STRING[], b BYTES DEFAULT 'STRING':::STRING, e'\\'BYTES':::BYTES) STORING (x)`)).toBe(
      `"STRING" TEXT[], b BYTEA DEFAULT 'STRING'::TEXT, e'\\'BYTES'::BYTEA) INCLUDE (x)`,
    );
  });

  it.each([
    ['CHECK ((a > 0))', true],
    [`lower(a) = 'x':::STRING`, true],
    ['now():::TIMESTAMPTZ', true],
    ['ARRAY[1:::INT8, 2:::INT8]:::INT8[]', true],
    ['unique_rowid()', false],
    ['a / 2', false],
    ['a ~ b', false],
    [`'x':::public.mood`, true],
    ['a = ANY ARRAY[1, 2]', true],
    [`'x':::OID`, false],
    ['btree (lower(a) ASC) WHERE (b IS NOT NULL)', true],
    ['btree (crdb_internal.f(a) ASC)', false],
  ])('%s: PostgreSQL takes it: %s', (expression, portable) => {
    expect(sharedExpression(expression) !== null).toBe(portable);
  });
});

describe('an INSERT for a target', () => {
  const insert = parseInsert(`INSERT INTO "s"."t" ("a", "b", "g") VALUES\n(1,'x',2),\n(2,NULL,4)`);
  const rules = { overriding: true, merge: false, generated: new Set<string>(), types: new Map([['a', 'integer']]) };

  it('leaves out what the target works out itself, and rows that are there when told to', () => {
    if (!insert) throw new Error('not parsed');
    expect(insertSql(insert, rules)).toContain('("a", "b", "g") OVERRIDING SYSTEM VALUE VALUES\n(1,');
    expect(insertSql(insert, { ...rules, generated: new Set(['g']), merge: true })).toBe(
      `INSERT INTO "s"."t" ("a", "b") OVERRIDING SYSTEM VALUE SELECT v."a"::text::integer, v."b"::text::text FROM (VALUES\n(1,'x',2),\n(2,NULL,4)) AS v("a", "b", "g")\nON CONFLICT DO NOTHING`,
    );
  });
});
