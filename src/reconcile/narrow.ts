/**
 * From a table to the rows in which its two sides differ, in two snapshots. One scan a side and one line each when they
 * are equal; where they are not, a second scan by buckets of the rows' hashes, and a third that fetches the rows of the
 * buckets that differ. Buckets go by hash and not by key: the two databases need not agree on the order of keys.
 */
import type { ClientBase } from 'pg';
import { quoteIdent } from '../core/ident.js';
import { keyIndexes, pick } from '../pipeline/compile.js';
import type { Aligned } from './aligned.js';
import { ROW_ALIAS } from './canonical.js';
import type { ComparedTable } from './compared-table.js';
import { type Lonely, type NumberedRow, symmetricDifference } from './merge.js';
import {
  type HashedTable,
  type Hashing,
  numberedRowsSql,
  parseRangeHash,
  type RangeHash,
  rangeHashSql,
  type Side,
  sameRange,
} from './row-hash.js';

const ROWS_PER_BUCKET = 16;
const LEAST_BITS = 8;
const MOST_BITS = 16;
/** Of both sides together. A table that differs everywhere costs a scan for each so many rows. */
const ROWS_AT_ONCE = 100_000;

type Texts = Record<string, string | null>;

export interface Narrowed {
  /** Rows of the primary's snapshot. */
  readonly rows: number;
  /** Empty when the sides are equal. Must be read to its end inside the snapshots. */
  readonly lonely: AsyncIterable<Lonely>;
}

export async function narrow(aligned: Aligned, table: ComparedTable, hashing: Hashing): Promise<Narrowed> {
  const sides = [sideOf(aligned, table, hashing, 'primary'), sideOf(aligned, table, hashing, 'secondary')] as const;
  const [ours, theirs] = await Promise.all(
    sides.map(async ({ client, hashed }) => {
      const { rows } = await client.query<Texts>(rangeHashSql(hashed, null));
      return parseRangeHash(rows[0] ?? {});
    }),
  );
  const [primary, secondary] = [ours as RangeHash, theirs as RangeHash];
  const most = Math.max(Number(primary.rows), Number(secondary.rows));
  return { rows: Number(primary.rows), lonely: sameRange(primary, secondary) ? none() : differing(sides, most) };
}

interface SideOf {
  readonly client: ClientBase;
  readonly hashed: HashedTable;
  readonly key: readonly string[];
}

function sideOf(aligned: Aligned, table: ComparedTable, hashing: Hashing, side: Side): SideOf {
  const { binding, chunk } = table.load;
  const own = side === 'primary' ? chunk : binding.target;
  const names =
    binding.key === null
      ? []
      : side === 'primary'
        ? chunk.key.map(({ name }) => name)
        : pick(binding, keyIndexes(binding)).map(({ name }) => name);
  return {
    client: side === 'primary' ? aligned.primary : aligned.secondary.client,
    hashed: {
      table: { schema: own.schema, name: own.name },
      columns: table.columns,
      side,
      server: side === 'primary' ? 'postgres' : table.dialect,
      hashing,
    },
    key: names.map((name) => `${ROW_ALIAS}.${quoteIdent(name)}`),
  };
}

async function* none(): AsyncGenerator<Lonely> {
  // Equal: nothing to tell.
}

async function* differing(sides: readonly [SideOf, SideOf], mostRows: number): AsyncGenerator<Lonely> {
  const bits = Math.ceil(Math.log2(Math.max(1, mostRows / ROWS_PER_BUCKET)));
  const mask = 2 ** Math.min(MOST_BITS, Math.max(LEAST_BITS, bits)) - 1;
  const [ours, theirs] = await Promise.all([buckets(sides[0], mask), buckets(sides[1], mask)]);
  for (const wanted of groups(ours, theirs)) {
    const rows = await Promise.all(sides.map((side) => rowsOf(side, mask, wanted)));
    yield* symmetricDifference(rows[0] ?? [], rows[1] ?? []);
  }
}

type Buckets = ReadonlyMap<string, RangeHash>;

async function buckets({ client, hashed }: SideOf, mask: number): Promise<Buckets> {
  const { rows } = await client.query<Texts>(
    `SELECT (v & ${mask})::text AS bucket, count(*)::text AS rows, sum(v)::text AS first, sum(w)::text AS second FROM (${numberedRowsSql(hashed, [])}) AS numbered GROUP BY 1`,
  );
  return new Map(rows.map((row) => [row.bucket ?? '', parseRangeHash(row)]));
}

/** The buckets that differ, in groups of as many rows as may be in memory; nearly always one group. */
function* groups(ours: Buckets, theirs: Buckets): Generator<string[]> {
  let [group, rows]: [string[], number] = [[], 0];
  for (const bucket of new Set([...ours.keys(), ...theirs.keys()])) {
    const [here, there] = [ours.get(bucket), theirs.get(bucket)];
    if (here && there && sameRange(here, there)) continue;
    const more = Number(here?.rows ?? 0) + Number(there?.rows ?? 0);
    if (group.length > 0 && rows + more > ROWS_AT_ONCE) {
      yield group;
      [group, rows] = [[], 0];
    }
    group.push(bucket);
    rows += more;
  }
  if (group.length > 0) yield group;
}

async function rowsOf(
  { client, hashed, key }: SideOf,
  mask: number,
  wanted: readonly string[],
): Promise<NumberedRow[]> {
  const names = key.map((_, i) => `, k${i}`).join('');
  const { rows } = await client.query<string[]>({
    text: `SELECT v::text AS tv, w::text AS tw${names} FROM (${numberedRowsSql(hashed, key)}) AS numbered WHERE (v & ${mask}) = ANY ($1::int8[]) ORDER BY v, w`,
    values: [`{${wanted.join(',')}}`],
    rowMode: 'array',
  });
  return rows.map(([v = '', w = '', ...texts]) => ({ v: BigInt(v), w: BigInt(w), key: texts }));
}
