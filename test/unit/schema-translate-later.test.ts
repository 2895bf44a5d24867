/** What waits for promotion, what the secondary cannot have, and how a PostgreSQL secondary differs. */
import { describe, expect, it } from 'vitest';
import { translate } from '../../src/schema/translate.js';
import { standInName } from '../../src/schema/translate-keys.js';
import { catalog, column, index, key, onCockroach, postgres, table } from './schema-builders.js';

describe('promotion and refusals on CRDB', () => {
  it('keeps foreign keys for promotion, and triggers only in the report', () => {
    const orders = table('orders', [column('id', 'int4'), column('user', 'int4'), column('b', 'int4')], {
      foreignKeys: [
        {
          ...{
            name: 'orders_user',
            columns: ['user', 'b'],
            referencedColumns: ['id', 'b'],
            match: 'f',
            enforced: true,
          },
          ...{ references: { schema: 'public', name: 'users' }, onUpdate: 'c', onDelete: 'n', setColumns: ['b'] },
          ...{ deferrable: true, definition: 'FOREIGN KEY ("user", b) REFERENCES public.users(id, b) ...' },
        },
        {
          ...{ name: 'orders_out', columns: ['b'], referencedColumns: ['id'], match: 's', enforced: true },
          ...{ references: { schema: 'other', name: 'gone' }, onUpdate: 'a', onDelete: 'a', setColumns: [] },
          ...{ deferrable: false, definition: '' },
        },
      ],
      triggers: [{ name: 'stamp', definition: '', function: { schema: 'app', name: 'stamp' }, enabled: 'O' }],
    });
    const { promotion, reasons, sql } = onCockroach(catalog([orders, table('users', [column('id', 'int4')])]));
    expect(sql.join()).not.toMatch(/FOREIGN|REFERENCES|TRIGGER/);
    expect(promotion).toEqual([
      {
        table: { schema: 'public', name: 'orders' },
        kind: 'foreign-key',
        name: 'orders_user',
        sql: 'ALTER TABLE "public"."orders" ADD CONSTRAINT IF NOT EXISTS "orders_user" FOREIGN KEY ("user", "b") REFERENCES "public"."users" ("id", "b") MATCH FULL ON DELETE SET NULL ON UPDATE CASCADE NOT VALID',
        undo: 'ALTER TABLE "public"."orders" DROP CONSTRAINT IF EXISTS "orders_user"',
      },
    ]);
    expect(reasons).toEqual([
      'public.orders.orders_user [foreign-key] not deferrable there',
      'public.orders.orders_user [foreign-key] ON DELETE sets all its columns, not only b',
      'public.orders.orders_user [foreign-key] created at promotion only, as NOT VALID',
      'public.orders.orders_out [foreign-key] not created: other.gone is not replicated',
      'public.orders.stamp [trigger] not created, not at promotion either: what app.stamp() does must be done elsewhere',
    ]);
  });

  it('has an ordinary index in the place of a deferrable constraint until promotion', () => {
    const ranked = table('ranked', [column('id', 'int4'), column('rank', 'int4')], {
      uniques: [key('rank_once', ['rank'], { deferrable: true, initiallyDeferred: true })],
    });
    const { sql, promotion } = onCockroach(catalog([ranked]));
    expect(sql[1]).toBe('CREATE INDEX IF NOT EXISTS "rank_once_standby" ON "public"."ranked" ("rank")');
    expect(promotion.map(({ sql: text, undo }) => [text, undo])).toEqual([
      [
        'CREATE UNIQUE INDEX IF NOT EXISTS "rank_once" ON "public"."ranked" ("rank")',
        'DROP INDEX IF EXISTS "public"."ranked"@"rank_once" CASCADE',
      ],
    ]);
  });

  it('leaves out indexes and checks that it cannot have, and says why', () => {
    const one = table('one', [column('id', 'int4'), column('doc', 'jsonb'), column('span', 'int4range')], {
      uniques: [key('doc_once', ['doc'])],
      checks: [
        { name: 'odd', expression: '((id % 2) = 1)', validated: true, enforced: true },
        { name: 'old', expression: '(id > 0)', validated: false, enforced: true },
        { name: 'soft', expression: '(id > 1)', validated: true, enforced: false },
      ],
      exclusions: [{ name: 'apart', definition: 'EXCLUDE USING gist (span WITH &&)' }],
      indexes: [
        index('by_doc', ['doc']),
        index('spans', ['span'], { method: 'gist' }),
        index('trigrams', ['id'], {
          method: 'gin',
          columns: [
            { column: 'id', expression: null, descending: false, nullsFirst: false, operatorClass: 'gin_trgm_ops' },
          ],
        }),
        index('by_hash', ['id'], { method: 'hash' }),
      ],
    });
    const { sql, reasons, promotion } = onCockroach(catalog([one]));
    expect(sql.slice(1)).toEqual(['CREATE INDEX IF NOT EXISTS "by_hash" ON "public"."one" ("id")']);
    expect(promotion.map(({ sql: text }) => text)).toEqual([
      'ALTER TABLE "public"."one" ADD CONSTRAINT IF NOT EXISTS "old" CHECK (("id" > 0)) NOT VALID',
    ]);
    expect(reasons).toEqual([
      'public.one.span [type] int4range becomes STRING with the original text',
      'public.one.doc_once [unique] not created: column doc has a type that the secondary cannot index',
      'public.one.apart [exclusion] not created: the secondary has no exclusion constraints',
      'public.one.odd [check] not created: it uses the operator %',
      'public.one.old [check] created at promotion only: it is NOT VALID, so old rows may break it',
      'public.one.soft [check] not created: it is NOT ENFORCED',
      'public.one.by_doc [index] not created: column doc has a type that the secondary cannot index',
      'public.one.spans [index] not created: the secondary has no access method gist',
      'public.one.trigrams [index] not created: the secondary has no trigram indexes',
      'public.one.by_hash [index] hash index becomes an ordinary one',
    ]);
  });
});

describe('translation for PostgreSQL', () => {
  it('reports what an older secondary lacks', () => {
    const source = catalog([
      table(
        't',
        [column('id', 'int4'), column('v', 'int4', { generated: { kind: 'virtual', expression: '(id + 1)' } })],
        {
          primaryKey: key('t_pkey', ['id'], { deferrable: true }),
          uniques: [key('once', ['id'], { nullsNotDistinct: true, deferrable: true })],
        },
      ),
    ]);
    const { statements, deviations } = translate(source, postgres({}, 14));
    expect(statements[0]?.sql).toBe(`CREATE TABLE IF NOT EXISTS "public"."t" (
  "id" integer,
  "v" integer GENERATED ALWAYS AS ((id + 1)) STORED,
  CONSTRAINT "t_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "once" UNIQUE ("id") DEFERRABLE
)`);
    expect(deviations.map(({ kind }) => kind)).toEqual(['generated-column', 'unique', 'primary-key']);
    expect(translate(source, postgres({}, 18)).statements[0]?.sql).toContain('(id + 1)) VIRTUAL');
  });

  it('puts what calls functions of the user off until promotion, with the functions', () => {
    const definition = 'CREATE OR REPLACE FUNCTION lib.code() RETURNS text LANGUAGE sql AS $$SELECT 1$$\n';
    const source = catalog(
      [
        table('t', [column('id', 'text', { nullable: false, default: 'lib.code()' })], {
          triggers: [
            {
              ...{ name: 'Stamp "x"', function: { schema: 'lib', name: 'code' }, enabled: 'A' },
              definition: 'CREATE TRIGGER "Stamp ""x""" BEFORE INSERT ON public.t EXECUTE FUNCTION lib.code()',
            },
          ],
        }),
      ],
      { functions: [{ schema: 'lib', name: 'code', language: 'sql', extension: null, definition }] },
    );
    const { promotion, statements } = translate(source, postgres());
    expect(statements[0]?.sql).toContain('"id" text NOT NULL,');
    const prelude = `CREATE SCHEMA IF NOT EXISTS "lib";\n${definition.trim()};\n`;
    expect(promotion.map(({ kind, sql }) => [kind, sql])).toEqual([
      ['default', `${prelude}ALTER TABLE "public"."t" ALTER COLUMN "id" SET DEFAULT lib.code()`],
      [
        'trigger',
        `${prelude}DROP TRIGGER IF EXISTS "Stamp ""x""" ON "public"."t";
CREATE TRIGGER "Stamp ""x""" BEFORE INSERT ON public.t EXECUTE FUNCTION lib.code();
ALTER TABLE "public"."t" ENABLE ALWAYS TRIGGER "Stamp ""x"""`,
      ],
    ]);
  });

  it('quotes a type body that contains its own quoting', () => {
    const source = catalog([], { enums: [{ schema: 'public', name: 'e', labels: ['$once$', "'"] }] });
    expect(translate(source, postgres()).statements[0]?.sql).toBe(
      `DO $once1$BEGIN CREATE TYPE "public"."e" AS ENUM ('$once$', ''''); EXCEPTION WHEN duplicate_object THEN NULL; END$once1$`,
    );
  });
});

describe('standInName', () => {
  it('stays within 63 bytes and cuts between characters', () => {
    const name = standInName('ä'.repeat(31));
    expect(name).toBe(`${'ä'.repeat(27)}_standby`);
    expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
    expect(standInName('short')).toBe('short_standby');
  });
});
