/** Whether a publication's rows can be had in binary, and how their values are read then. */
import { BinaryTypes, type OwnType } from '../core/binary-types.js';
import { quoteLiteral } from '../core/ident.js';

/** Types of the published columns, and whether one of them names rows there. An array is what its element's type says: int2vector is none. */
const columnTypesSql = (publication: string) => `
SELECT t.oid::int8::text AS oid, t.typtype::text AS kind, t.typbasetype::int8::text AS base,
       e.oid::int8::text AS element, e.typtype::text AS element_kind, e.typbasetype::int8::text AS element_base,
       bool_or(c.relreplident = 'f' OR EXISTS (
         SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND a.attnum = ANY (i.indkey)))::text AS names,
       current_setting('server_encoding') AS encoding
FROM pg_catalog.pg_publication_tables p
JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
WHERE p.pubname = ${quoteLiteral(publication)}
GROUP BY t.oid, t.typtype, t.typbasetype, e.oid, e.typtype, e.typbasetype`;

interface TypeRow {
  oid: string;
  kind: string;
  base: string;
  element: string | null;
  element_kind: string | null;
  element_base: string | null;
  names: string;
  encoding: string;
}

/**
 * @param reals false: numbers of four bytes are to come as text
 * @returns null where values are to come as text: a type is not known in binary, a float names rows, or text has no encoding
 */
export async function binaryTypesOf(
  query: (sql: string) => Promise<{ rows: TypeRow[] }>,
  publication: string,
  reals: boolean,
): Promise<BinaryTypes | null> {
  const { rows } = await query(columnTypesSql(publication));
  const own = rows.map(ownType);
  const types = new BinaryTypes(own, { reals });
  const fits = rows.every(({ encoding, names, oid }) => {
    if (encoding === 'SQL_ASCII' || types.decoder(Number(oid)) === null) return false;
    return names !== 'true' || !types.isFloat(Number(oid));
  });
  return fits ? types : null;
}

function ownType(row: TypeRow): OwnType {
  const element = row.element && {
    ...{ oid: Number(row.element), kind: row.element_kind ?? '', base: Number(row.element_base), element: null },
  };
  return { oid: Number(row.oid), kind: row.kind, base: Number(row.base), element: element || null };
}
