/** What a database holds, in one snapshot, and what recovery kept. */
import type { Client, types } from 'pg';
import { withClient } from '../../harness/sql.js';
import type { Conflicts, DatabaseState, EventRow } from './history.js';

/** The episode's own rows: its lists, and elements from `from` on in every writer's span. */
export interface Scope {
  readonly lists: readonly number[];
  /** Lowest `no`. */
  readonly from: number;
}

const SPAN = 1_000_000_000;
const numbers = (text: string): number[] => (text === '{}' ? [] : text.slice(1, -1).split(',').map(Number));

/** @param also more of the same snapshot, asked first */
export async function readState<T>(
  url: string,
  scope: Scope,
  also?: (client: Client) => Promise<T>,
): Promise<{ state: DatabaseState; also: T | undefined }> {
  return withClient(url, async (client) => {
    await client.query('BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY');
    const first = await also?.(client);
    const lists = await client.query('SELECT id, elements::text AS elements FROM lists WHERE id = ANY($1)', [
      scope.lists,
    ]);
    const events = await client.query(
      `SELECT id, writer, no, side, (extract(epoch FROM ran_at) * 1000000)::int8 AS at_us FROM events WHERE no >= $1`,
      [scope.from],
    );
    const parts = await client.query(
      'SELECT p.event, count(*)::int AS n FROM parts AS p JOIN events AS e ON e.id = p.event WHERE e.no >= $1 GROUP BY p.event',
      [scope.from],
    );
    const journal = await client.query(
      `SELECT element, count(*)::int AS n FROM journal WHERE element % ${SPAN} >= $1 GROUP BY element`,
      [scope.from],
    );
    const tokens = await client.query('SELECT token, count(*)::int AS n FROM tokens GROUP BY token');
    await client.query('COMMIT');
    const state: DatabaseState = {
      lists: new Map(lists.rows.map((row) => [Number(row.id), numbers(row.elements)])),
      events: new Map(events.rows.map((row) => [Number(row.id), eventOf(row)])),
      parts: new Map(parts.rows.map((row) => [Number(row.event), Number(row.n)])),
      journal: new Map(journal.rows.map((row) => [Number(row.element), Number(row.n)])),
      tokens: new Map(tokens.rows.map((row) => [Number(row.token), Number(row.n)])),
    };
    return { state, also: first };
  });
}

function eventOf(row: Record<string, unknown>): EventRow {
  const { at_us, id, no, side, writer } = row;
  return {
    id: Number(id),
    writer: Number(writer),
    no: Number(no),
    side: side as string | null,
    atMs: Number(at_us) / 1000,
  };
}

type Version = Record<string, string | null> | null;

/** @param url of the secondary, which keeps them */
export async function readConflicts(url: string): Promise<Conflicts> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<Record<'table_name' | 'primary_version' | 'secondary_version', string | null>>({
      text: 'SELECT table_name, primary_version, secondary_version FROM db_redundancy.conflicts',
      types: { getTypeParser: () => (text: unknown) => text } as unknown as typeof types,
    });
    const lists = new Map<number, number[][]>();
    const sets = { events: new Set<number>(), journal: new Set<number>(), tokens: new Set<number>() };
    for (const { primary_version, secondary_version, table_name } of rows) {
      for (const text of [primary_version, secondary_version]) {
        const version = text === null ? null : (JSON.parse(text) as Version);
        if (version === null) continue;
        const value = (column: string) => Number(version[column]);
        if (table_name === 'lists')
          lists.set(value('id'), [...(lists.get(value('id')) ?? []), numbers(version.elements ?? '{}')]);
        if (table_name === 'events') sets.events.add(value('id'));
        if (table_name === 'parts') sets.events.add(value('event'));
        if (table_name === 'journal') sets.journal.add(value('element'));
        if (table_name === 'tokens') sets.tokens.add(value('token'));
      }
    }
    return { lists, ...sets };
  });
}
