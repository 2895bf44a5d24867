/** All types that the columns use, however deep: domains' bases, arrays' elements, composites' attributes. */
import { type CatalogClient, rows } from './catalog-session.js';
import type {
  CheckModel,
  CompositeModel,
  DomainModel,
  EnumModel,
  QualifiedName,
  RangeModel,
  TypeKind,
  TypeModel,
} from './model.js';

interface TypeRow {
  oid: number;
  schema: string;
  name: string;
  kind: TypeKind;
  display: string;
  element: number;
  base: number;
  base_typmod: number;
  base_display: string | null;
  nullable: boolean;
  default: string | null;
  collation: QualifiedName | null;
  extension: string | null;
  labels: string[] | null;
  label_oids: number[] | null;
  checks: CheckModel[] | null;
  attributes: { name: string; type: number; typmod: number; display: string }[] | null;
  range: { subtype: number; display: string; multirange: string; canonical: boolean } | null;
}

const TYPES = `
WITH RECURSIVE used(oid) AS (
  SELECT unnest($1::oid[])
  UNION
  SELECT part.oid FROM used JOIN pg_type t ON t.oid = used.oid CROSS JOIN LATERAL (
    SELECT t.typelem WHERE t.typelem <> 0 AND t.typcategory = 'A'
    UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
    UNION ALL SELECT a.atttypid FROM pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_range r WHERE r.rngmultitypid = t.oid) part(oid))
SELECT t.oid, n.nspname::text AS schema, t.typname::text AS name, format_type(t.oid, NULL) AS display,
  CASE WHEN EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid) THEN 'array'
       WHEN t.typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = t.typrelid) <> 'c' THEN 'pseudo'
       ELSE CASE t.typtype WHEN 'b' THEN 'base' WHEN 'c' THEN 'composite' WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum'
            WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE 'pseudo' END END AS kind,
  t.typelem AS element, t.typbasetype AS base, t.typtypmod AS base_typmod,
  CASE WHEN t.typbasetype <> 0 THEN format_type(t.typbasetype, t.typtypmod) END AS base_display,
  NOT t.typnotnull AS nullable, t.typdefault AS default,
  (SELECT json_build_object('schema', cn.nspname, 'name', co.collname)
   FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace JOIN pg_type bt ON bt.oid = t.typbasetype
   WHERE co.oid = t.typcollation AND t.typcollation <> bt.typcollation) AS collation,
  (SELECT x.extname::text FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
   WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e') AS extension,
  (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels,
  (SELECT json_agg(e.oid::int8 ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS label_oids,
  (SELECT json_agg(json_build_object('name', k.conname, 'expression', pg_get_expr(k.conbin, 0),
     'validated', k.convalidated, 'enforced', true) ORDER BY k.conname)
   FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS checks,
  (SELECT json_agg(json_build_object('name', a.attname, 'type', a.atttypid::int8, 'typmod', a.atttypmod,
     'display', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
   FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS attributes,
  (SELECT json_build_object('subtype', r.rngsubtype::int8, 'display', format_type(r.rngsubtype, NULL),
     'multirange', (SELECT m.typname FROM pg_type m WHERE m.oid = r.rngmultitypid), 'canonical', r.rngcanonical <> 0)
   FROM pg_range r WHERE r.rngtypid = t.oid) AS range
FROM used JOIN pg_type t ON t.oid = used.oid JOIN pg_namespace n ON n.oid = t.typnamespace
ORDER BY n.nspname, t.typname`;

export class TypeCatalog {
  private readonly byOid: ReadonlyMap<number, TypeRow>;

  constructor(typeRows: readonly TypeRow[]) {
    this.byOid = new Map(typeRows.map((row) => [row.oid, row]));
  }

  /** Builds the type as one use of it has it: with its modifier, which an array hands on to its element. */
  model(oid: number, typmod: number, display: string): TypeModel {
    const row = this.byOid.get(oid);
    if (!row) throw new Error(`type ${oid} was not read`);
    return {
      oid,
      schema: row.schema,
      name: row.name,
      kind: row.kind,
      display,
      typmod,
      element: row.kind === 'array' ? this.model(row.element, typmod, display.replace(/\[\]$/, '')) : null,
      base: row.kind === 'domain' ? this.model(row.base, row.base_typmod, row.base_display ?? '') : null,
      extension: row.extension,
    };
  }

  enums(): EnumModel[] {
    return this.user('enum').map(({ label_oids, labels, name, oid, schema }) => ({
      schema,
      name,
      labels: labels ?? [],
      oids: { type: oid, labels: label_oids ?? [] },
    }));
  }

  /** A domain over a domain comes after the one it is built on. */
  domains(): DomainModel[] {
    const depth = (row: TypeRow): number => {
      const base = this.byOid.get(row.base);
      return base?.kind === 'domain' ? 1 + depth(base) : 0;
    };
    return this.user('domain')
      .sort((a, b) => depth(a) - depth(b))
      .map((row) => ({
        schema: row.schema,
        name: row.name,
        base: this.model(row.base, row.base_typmod, row.base_display ?? ''),
        nullable: row.nullable,
        default: row.default,
        collation: row.collation,
        checks: row.checks ?? [],
      }));
  }

  /** A composite comes after those that it contains. */
  composites(): CompositeModel[] {
    const depth = (row: TypeRow | undefined): number => {
      if (!row) return 0;
      const parts = [row.element, row.base, ...(row.attributes ?? []).map((a) => a.type)].filter((oid) => oid > 0);
      return 1 + Math.max(0, ...parts.map((oid) => depth(this.byOid.get(oid))));
    };
    return this.user('composite')
      .sort((a, b) => depth(a) - depth(b))
      .map((row) => ({
        schema: row.schema,
        name: row.name,
        attributes: (row.attributes ?? []).map((a) => ({
          name: a.name,
          type: this.model(a.type, a.typmod, a.display),
        })),
      }));
  }

  ranges(): RangeModel[] {
    return this.user('range').flatMap((row) =>
      row.range
        ? [
            {
              schema: row.schema,
              name: row.name,
              subtype: this.model(row.range.subtype, -1, row.range.display),
              multirange: row.range.multirange,
              canonical: row.range.canonical,
            },
          ]
        : [],
    );
  }

  private user(kind: TypeKind): TypeRow[] {
    return [...this.byOid.values()].filter(
      (row) =>
        row.kind === kind &&
        row.extension === null &&
        row.schema !== 'pg_catalog' &&
        row.schema !== 'information_schema',
    );
  }
}

export async function readTypes(client: CatalogClient, oids: readonly number[]): Promise<TypeCatalog> {
  return new TypeCatalog(await rows<TypeRow>(client, TYPES, [[...new Set(oids)]]));
}
