/**
 * A statement's rows as they come, on a connection of its own, whose socket waits while nobody takes them: a table of any
 * size goes by in bounded memory. Not a cursor, of which CockroachDB has one form or another depending on its version.
 */
import type { Socket } from 'node:net';
import pg, { type ClientConfig } from 'pg';
import { dialectOf } from '../apply/dialect.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';

export type TextRow = Record<string, string | null>;

const HIGH_ROWS = 4000;
const LOW_ROWS = 1000;

export async function* streamRows(
  connection: ClientConfig,
  text: string,
  values: readonly string[],
  signal?: AbortSignal,
): AsyncGenerator<TextRow, void, void> {
  const client = new pg.Client({
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 10_000,
    ...connection,
    types: RAW_TEXT_TYPES,
  } as ClientConfig);
  // The statement's own rejection is what the caller sees.
  client.on('error', () => undefined);
  const socket = () => (client as unknown as { connection: { stream: Socket } }).connection.stream;
  const cut = () => socket().destroy();
  signal?.addEventListener('abort', cut, { once: true });
  try {
    signal?.throwIfAborted();
    await client.connect();
    const { rows } = await client.query<{ version: string }>('SELECT version()');
    await client.query(dialectOf(rows[0]?.version ?? '').sessionSql);
    let arrived: TextRow[] = [];
    let over: { readonly error: unknown } | null = null;
    let wake: () => void = () => undefined;
    const query = client.query(new pg.Query<TextRow>({ text, values: [...values] }));
    query.on('row', (row: TextRow) => {
      arrived.push(row);
      if (arrived.length === HIGH_ROWS) socket().pause();
      wake();
    });
    query.on('error', (error) => {
      over = { error };
      wake();
    });
    query.on('end', () => {
      over = { error: null };
      wake();
    });
    for (let at = 0; ; ) {
      const row = arrived[at];
      if (row !== undefined) {
        at += 1;
        if (at >= LOW_ROWS || at === arrived.length) {
          arrived = arrived.slice(at);
          at = 0;
          if (arrived.length < HIGH_ROWS) socket().resume();
        }
        yield row;
        continue;
      }
      const ended = over as { readonly error: unknown } | null;
      if (ended?.error) throw ended.error;
      if (ended) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    signal?.removeEventListener('abort', cut);
    cut();
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
