/**
 * The rows of one SELECT as they come, in bounded memory: the socket is paused while a page waits to be taken. No cursor,
 * because CockroachDB's portals take no Flush; a plain query streams on both, whatever the width of a row.
 */
import type { Socket } from 'node:net';
import pg from 'pg';
import type { Row } from '../core/change.js';

const PAGE_ROWS = 500;
const PAGE_BYTES = 256 * 1024;

/** Pages of rows, never empty. The client is of no use for anything else until the generator has ended. */
export async function* streamRows(client: pg.Client, text: string): AsyncGenerator<Row[], void, void> {
  const socket = (client as unknown as { connection: { stream: Socket } }).connection.stream;
  let page: Row[] = [];
  let bytes = 0;
  let ended = false;
  let failure: Error | null = null;
  let wake: () => void = () => undefined;
  const query = client.query(new pg.Query<string[]>({ text, rowMode: 'array' } as pg.QueryConfig));
  query.on('row', (row: Row) => {
    page.push(row);
    for (const value of row) bytes += value?.length ?? 0;
    if (page.length >= PAGE_ROWS || bytes >= PAGE_BYTES) {
      socket.pause();
      wake();
    }
  });
  query.on('end', () => {
    ended = true;
    wake();
  });
  query.on('error', (error: Error) => {
    failure = error;
    ended = true;
    wake();
  });
  for (;;) {
    if (page.length === 0 && !ended) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure) throw failure;
    const taken = page;
    page = [];
    bytes = 0;
    if (taken.length > 0) yield taken;
    // Also at the end: what comes next on this connection must be read.
    socket.resume();
    if (failure) throw failure;
    if (ended && page.length === 0) return;
  }
}
