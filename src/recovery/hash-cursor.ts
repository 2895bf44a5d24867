/** A statement's rows a portion at a time, on a connection of its own: a table of any size goes by in bounded memory. */
import pg, { type ClientConfig } from 'pg';
import Cursor from 'pg-cursor';
import { dialectOf } from '../apply/dialect.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';

export type TextRow = Record<string, string | null>;

const PORTION = 2000;

export async function* streamRows(
  connection: ClientConfig,
  text: string,
  values: readonly string[],
): AsyncGenerator<TextRow, void, void> {
  const client = new pg.Client({
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
    ...connection,
    types: RAW_TEXT_TYPES,
  } as ClientConfig);
  // The cursor's own rejection is what the caller sees.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string }>('SELECT version()');
    await client.query(dialectOf(rows[0]?.version ?? '').sessionSql);
    const cursor = client.query(new Cursor<TextRow>(text, [...values]));
    for (;;) {
      const portion = await cursor.read(PORTION);
      yield* portion;
      if (portion.length < PORTION) return;
    }
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Two streams that are ordered by `h`, joined on it: each pair that `differs`. */
export async function* mergeJoin(
  left: AsyncGenerator<TextRow, void, void>,
  right: AsyncGenerator<TextRow, void, void>,
  differs: (left: TextRow | null, right: TextRow | null) => boolean,
): AsyncGenerator<{ left: TextRow | null; right: TextRow | null }, void, void> {
  try {
    let [ours, theirs] = await Promise.all([left.next(), right.next()]);
    for (;;) {
      const a = ours.done ? null : ours.value;
      const b = theirs.done ? null : theirs.value;
      if (!a && !b) return;
      const order = !a ? 1 : !b ? -1 : (a.h ?? '') < (b.h ?? '') ? -1 : (a.h ?? '') > (b.h ?? '') ? 1 : 0;
      const pair = { left: order <= 0 ? a : null, right: order >= 0 ? b : null };
      if (differs(pair.left, pair.right)) yield pair;
      if (order <= 0) ours = await left.next();
      if (order >= 0) theirs = await right.next();
    }
  } finally {
    await Promise.all([left.return(), right.return()]);
  }
}
