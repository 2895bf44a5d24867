/** The table of the workloads: twelve columns of the types that applications have. */

export const SCHEMA = 'db_redundancy_bench';

/** Of that table; `name` is one of the benchmark's own. */
export function tableSql(name: string): string {
  return `CREATE TABLE ${SCHEMA}.${name} (id bigint PRIMARY KEY, wallet uuid NOT NULL, name text NOT NULL, status varchar(20) NOT NULL,
    amount numeric(20, 2) NOT NULL, fee double precision NOT NULL, active boolean NOT NULL, tags text[], doc jsonb, note text,
    created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL)`;
}

const VALUES = (
  id: string,
) => `${id}, md5((${id})::text)::uuid, 'name of ' || ${id}, (ARRAY['open', 'closed', 'pending'])[1 + ${id} % 3],
  ${id} * 1.37, ${id} / 7.0, ${id} % 2 = 0, ARRAY['a', (${id})::text], jsonb_build_object('n', ${id}, 'k', 'v' || ${id}),
  CASE WHEN ${id} % 4 = 0 THEN repeat('x', (${id} % 60)::int) END, '2026-01-01'::timestamptz + ${id} * interval '1 second', clock_timestamp()`;

/** Rows `from` to `to`, in one statement. */
export function insertSql(name: string, from: number | string, to: number | string): string {
  return `INSERT INTO ${SCHEMA}.${name} SELECT ${VALUES('i')} FROM generate_series(${from}::bigint, ${to}::bigint) i`;
}

/** One row; `id` is an expression. */
export function insertOneSql(name: string, id: string): string {
  return `INSERT INTO ${SCHEMA}.${name} VALUES (${VALUES(id)})`;
}

/** Rows 1 to `rows` in transactions of `each`, made inside the server so that no client limits it. */
export function transactionsSql(name: string, rows: number, each: number): string {
  return `DO $$ BEGIN FOR n IN 0 .. ${Math.ceil(rows / each) - 1} LOOP
    ${insertSql(name, `n * ${each} + 1`, `least(${rows}, (n + 1) * ${each})`)}; COMMIT; END LOOP; END $$`;
}

/** Everything of the benchmark on one side. */
export const DROP_SQL = `DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`;
