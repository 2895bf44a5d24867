/** The exact SQL that a CockroachDB is given: tables, columns, sequences. */
import { describe, expect, it } from 'vitest';
import {
  arrayOf,
  builtIn,
  catalog,
  column,
  index,
  key,
  onCockroach,
  sequence,
  table,
  userType,
} from './schema-builders.js';

const status = userType('enum', 'Ap p', 'sta"tus', { display: '"Ap p"."sta""tus"' });
const email = userType('domain', 'public', 'email', { base: builtIn('varchar', 'character varying(50)') });

describe('translation for CRDB', () => {
  it('writes schemas, enums, sequences, tables, checks, indexes and comments, in this order', () => {
    const users = table(
      'users',
      [
        column('id', 'int4', { nullable: false, default: "nextval('public.users_id_seq'::regclass)" }),
        column('Na"me', builtIn('varchar', 'character varying(40)'), { nullable: false, comment: "it's \\ a name" }),
        column('state', status, { default: `'o''pen'::"Ap p"."sta""tus"` }),
        column('tags', arrayOf(builtIn('text')), { default: "'{}'::text[]" }),
        column('mail', email),
        column('price', builtIn('numeric', 'numeric(10,2)')),
        column('qty', 'int4'),
        column('total', 'numeric', { generated: { kind: 'stored', expression: '(price * (qty)::numeric)' } }),
      ],
      {
        uniques: [key('users_name', ['Na"me'], { include: ['qty'] })],
        checks: [{ name: 'qty_positive', expression: '(qty > 0)', validated: true, enforced: true }],
        indexes: [
          index('users_tags', ['tags'], { method: 'gin' }),
          index('users_open', ['qty'], { predicate: '(price > (0)::numeric)', include: ['mail'] }),
          index('users_name_once', ['state'], { unique: true }),
        ],
        comment: 'people',
      },
    );
    const source = catalog([users], {
      schemas: ['Ap p', 'public'],
      enums: [{ schema: 'Ap p', name: 'sta"tus', labels: ["o'pen", 'a\\b', 'ü"'] }],
      domains: [
        {
          ...{ schema: 'public', name: 'email', base: builtIn('varchar', 'character varying(50)'), nullable: false },
          ...{ default: null, collation: null },
          checks: [{ name: 'at', expression: "((VALUE)::text ~~ '%@%'::text)", validated: true, enforced: true }],
        },
      ],
      sequences: [sequence('users_id_seq')],
    });
    const { sql, statements } = onCockroach(source);
    expect(sql).toEqual([
      'CREATE SCHEMA IF NOT EXISTS "Ap p"',
      `CREATE TYPE IF NOT EXISTS "Ap p"."sta""tus" AS ENUM ('o''pen', E'a\\\\b', 'ü"')`,
      'CREATE SEQUENCE IF NOT EXISTS "public"."users_id_seq" AS INT4 INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1',
      `CREATE TABLE IF NOT EXISTS "public"."users" (
  "id" INT4 DEFAULT nextval('"public"."users_id_seq"') NOT NULL,
  "Na""me" VARCHAR(40) NOT NULL,
  "state" "Ap p"."sta""tus" DEFAULT 'o''pen'::"Ap p"."sta""tus",
  "tags" STRING[] DEFAULT '{}'::STRING[],
  "mail" VARCHAR(50) NOT NULL,
  "price" DECIMAL(10,2),
  "qty" INT4,
  "total" DECIMAL AS (("price" * ("qty")::DECIMAL)) STORED,
  CONSTRAINT "users_pkey" PRIMARY KEY ("id"),
  CONSTRAINT "users_name" UNIQUE ("Na""me") STORING ("qty")
)`,
      'ALTER TABLE "public"."users" ADD CONSTRAINT IF NOT EXISTS "qty_positive" CHECK (("qty" > 0))',
      `ALTER TABLE "public"."users" ADD CONSTRAINT IF NOT EXISTS "mail_at" CHECK ((("mail")::STRING LIKE '%@%'::STRING))`,
      'CREATE INVERTED INDEX IF NOT EXISTS "users_tags" ON "public"."users" ("tags")',
      'CREATE INDEX IF NOT EXISTS "users_open" ON "public"."users" ("qty") STORING ("mail") WHERE ("price" > (0)::DECIMAL)',
      'CREATE UNIQUE INDEX IF NOT EXISTS "users_name_once" ON "public"."users" ("state")',
      `COMMENT ON TABLE "public"."users" IS 'people'`,
      `COMMENT ON COLUMN "public"."users"."Na""me" IS E'it''s \\\\ a name'`,
    ]);
    const optional = statements.filter((statement) => statement.optional).map((statement) => statement.object);
    expect(optional).toEqual([
      'public.users.qty_positive',
      'public.users.mail_at',
      'public.users.users_tags',
      'public.users.users_open',
      'public.users',
      'public.users.Na"me',
    ]);
  });

  it('gives identity a sequence of its width, and never unique_rowid()', () => {
    const source = catalog(
      [
        table('users', [
          column('id', 'int2', {
            nullable: false,
            identity: 'a',
            ownedSequence: { schema: 'public', name: 'users_id_seq' },
          }),
        ]),
      ],
      { sequences: [sequence('users_id_seq', { type: 'smallint', max: '32767', identity: true, cycle: true })] },
    );
    const { sql, reasons } = onCockroach(source);
    expect(sql).toEqual([
      'CREATE SEQUENCE IF NOT EXISTS "public"."users_id_seq" AS INT2 INCREMENT BY 1 MINVALUE 1 MAXVALUE 32767 START WITH 1 CACHE 1',
      `CREATE TABLE IF NOT EXISTS "public"."users" (
  "id" INT2 DEFAULT nextval('"public"."users_id_seq"') NOT NULL,
  CONSTRAINT "users_pkey" PRIMARY KEY ("id")
)`,
    ]);
    expect(reasons).toEqual([
      'public.users_id_seq [sequence] CYCLE is not kept: the sequence fails at its end',
      'public.users.id [identity] GENERATED ALWAYS becomes BY DEFAULT, so that replicated values can be written',
      'public.users.id [identity] identity becomes DEFAULT nextval of sequence public.users_id_seq',
    ]);
  });

  it('makes a partitioned table a plain one, and leaves keyless tables keyless', () => {
    const parts = table('parts', [column('id', 'int4', { nullable: false }), column('at', 'date')], {
      kind: 'partitioned',
      partitions: [{ schema: 'public', name: 'parts_1', oid: 9, replicaIdentity: 'd' }],
    });
    const keyless = table('keyless', [column('a', 'int4')], { primaryKey: null, rowSecurity: true });
    const { sql, reasons } = onCockroach(catalog([parts, keyless]));
    expect(sql).toEqual([
      `CREATE TABLE IF NOT EXISTS "public"."parts" (
  "id" INT4 NOT NULL,
  "at" DATE,
  CONSTRAINT "parts_pkey" PRIMARY KEY ("id")
)`,
      `CREATE TABLE IF NOT EXISTS "public"."keyless" (
  "a" INT4
)`,
    ]);
    expect(reasons.map((line) => line.replace(/\].*/, ']'))).toEqual([
      'public.parts [partitioning]',
      'public.keyless [primary-key]',
      'public.keyless [row-security]',
    ]);
  });

  it('says how each column is written: as it is, converted, or not at all', () => {
    const mixed = table('mixed', [
      column('id', 'int4'),
      column('cash', 'money', { default: "'$1.00'::money" }),
      column('span', 'int4range'),
      column('half', 'int4', { nullable: false, generated: { kind: 'stored', expression: '(id / 2)' } }),
      column('twice', 'int4', { generated: { kind: 'virtual', expression: '(id * 2)' } }),
      column('added', 'int4', { missingValue: '5', default: '6' }),
      column('random', 'float8', { default: 'random()' }),
    ]);
    const { columns, reasons, sql } = onCockroach(catalog([mixed]));
    const summary = columns[0]?.columns.map((each) => [each.name, each.convert, each.generation, each.olderRows.kind]);
    expect(summary).toEqual([
      ['id', 'none', 'none', 'null'],
      ['cash', 'money', 'none', 'unknown'],
      ['span', 'text', 'none', 'null'],
      ['half', 'none', 'plain', 'unknown'],
      ['twice', 'none', 'computed', 'computed'],
      ['added', 'none', 'none', 'literal'],
      ['random', 'none', 'none', 'unknown'],
    ]);
    // The stream fills it a moment later than the row.
    expect(sql[0]).toContain('"half" INT4,');
    expect(sql[0]).toContain('"twice" INT4 AS (("id" * 2)) STORED');
    expect(reasons).toContain(
      "public.mixed.cash [default] default '$1.00'::money not created: the column has another type there",
    );
  });
});
