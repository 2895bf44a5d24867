/** Writers on the primary: loops inside the server, so that no client limits them or takes a processor from the others. */
import type { BenchContext } from './context.js';
import { insertOneSql, insertSql, SCHEMA, tableSql } from './rows.js';

const KEYS = 100_000;

export const MIX_TABLES = ['mix', 'probe'];
export const MIX_SQL = [tableSql('mix'), `CREATE SEQUENCE ${SCHEMA}.mix_id START ${KEYS + 1}`];

/** Rows that updates and deletes find; on the primary only, before a replication begins, or on both sides. */
export function mixSeedSql(): string {
  return insertSql('mix', 1, KEYS);
}

/**
 * One transaction of one row, as an application would write it: 60 % updates, 30 % inserts, 10 % deletes. The key is drawn
 * before the statement: random() in its condition would be drawn, and compared, for each row of the table.
 */
const ONE = `
  chance := random();
  key := 1 + floor(random() * ${KEYS})::bigint;
  IF chance < 0.6 THEN
    UPDATE ${SCHEMA}.mix SET amount = amount + 1, updated_at = clock_timestamp() WHERE id = key;
  ELSIF chance < 0.9 THEN
    ${insertOneSql('mix', 'next')}; next := nextval('${SCHEMA}.mix_id');
  ELSE
    DELETE FROM ${SCHEMA}.mix WHERE id = key;
  END IF;
  COMMIT;
  done := done + 1;`;

const DECLARE = (seconds: number) =>
  `chance float8; key bigint; done int := 0; next bigint := nextval('${SCHEMA}.mix_id'); due timestamptz := clock_timestamp(); ends timestamptz := clock_timestamp() + interval '${seconds} s'`;

/** @param perSecond of all clients together; null: as many as the source takes. @returns transactions committed */
export async function writeMix(
  context: BenchContext,
  { clients, perSecond, seconds }: { clients: number; perSecond: number | null; seconds: number },
): Promise<number> {
  const pause =
    perSecond === null
      ? ''
      : `due := due + interval '${(1e6 * clients) / perSecond} microseconds'; PERFORM pg_sleep(greatest(0, extract(epoch FROM due - clock_timestamp())));`;
  const sql = `DO $$ DECLARE ${DECLARE(seconds)}; BEGIN
    WHILE clock_timestamp() < ends LOOP ${ONE} ${pause} END LOOP; RAISE NOTICE 'done %', done; END $$`;
  const counts = await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = await context.primary.connect();
      let done = 0;
      client.on('notice', ({ message }) => {
        done = Number(/^done (\d+)$/.exec(message ?? '')?.[1] ?? done);
      });
      try {
        await client.query(sql);
      } finally {
        await client.end();
      }
      return done;
    }),
  );
  return counts.reduce((sum, each) => sum + each, 0);
}
