/**
 * Loads a table without a key. There are no keys to compare with the stream, but transaction ids say exactly what a
 * snapshot has seen: the load happens at a point of the stream where every change to the table so far is either in the
 * snapshot or not yet in the stream, in one target transaction that also lets the stream take over from there.
 */
import type { PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import type { TargetSession } from '../apply/target-session.js';
import type { Row } from '../core/change.js';
import { quoteTable } from '../core/ident.js';
import { DataRefusedError } from '../pipeline/apply-errors.js';
import { parseSnapshot } from '../source/pg-snapshot.js';
import { wasRewritten } from '../source/rewritten.js';
import { columnList } from './chunk-reader.js';
import { chunkLimits, type LoadTable } from './load-table.js';
import type { LoaderOptions } from './loader-options.js';
import { dialectSafeSlices, insertRows } from './unkeyed-write.js';

/**
 * Resolves when the table streams (true), or was paused because the secondary refuses its rows. Retries until a quiet
 * moment of the table is found: a moment, not a period.
 */
export async function loadUnkeyed(options: LoaderOptions, table: LoadTable): Promise<boolean> {
  const { applier, board, onRefused, progress, signal, source } = options;
  const { entry, chunk } = table;
  const touched = new Set<number>();
  let refused = false;
  board.watched.set(chunk.oid, touched);
  const watchedFrom = board.commits.position;
  await progress.begin(entry, [{ rangeNo: 0, upper: null }], table.rowEstimate);
  entry.state = 'loading';
  entry.rowsExpected = table.rowEstimate;
  try {
    for (let loaded = false; !loaded; ) {
      signal.throwIfAborted();
      loaded = await source.use((reader) =>
        source.use(async (marker) => {
          const readSnapshot = async () => {
            await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
            const { rows } = await reader.query<{ snapshot: string }>('SELECT pg_current_snapshot()::text AS snapshot');
            return parseSnapshot(rows[0]?.snapshot ?? '');
          };
          const done = await board.round(marker, chunk.oid, readSnapshot, async (snapshot, _window, commits) => {
            const unseen = [...touched].some((xid) => !snapshot.isVisible(xid));
            if (unseen || commits.anyBefore(snapshot.running, watchedFrom)) return false;
            // Locked only now: a lock for as long as the stream takes to come by might hold the application up.
            if (await wasRewritten(reader, chunk)) return false;
            try {
              await applier.inTransaction(async (session) => {
                await copyAll(reader, session, table);
                for (const statement of progress.finished(entry, entry.afterLoad(), entry.rowsLoaded))
                  await session.run(statement);
              });
            } catch (error) {
              if (!(error instanceof DataRefusedError)) throw error;
              refused = true;
              await onRefused(entry, error);
              return true;
            }
            entry.loaded();
            return true;
          });
          await reader.query('COMMIT');
          return done;
        }),
      );
    }
  } finally {
    board.watched.delete(chunk.oid);
  }
  return !refused;
}

/** Everything that the reader's snapshot holds, instead of what the secondary has. May be repeated on the same reader. */
async function copyAll(reader: PoolClient, session: TargetSession, table: LoadTable): Promise<void> {
  const { binding, chunk, entry } = table;
  await session.exec(`DELETE FROM ${quoteTable(binding.target.schema, binding.target.name)}`);
  entry.rowsLoaded = 0;
  const text = `SELECT ${columnList(chunk)} FROM ${quoteTable(chunk.schema, chunk.name)}`;
  const cursor = reader.query(new Cursor<Row>(text, [], { rowMode: 'array' }));
  try {
    const { fetch } = chunkLimits(table);
    for (let page = await cursor.read(fetch); page.length > 0; page = await cursor.read(fetch)) {
      for (const slice of dialectSafeSlices(binding, page, session.dialect))
        await session.run(insertRows(binding, slice, session.dialect));
      entry.rowsLoaded += page.length;
    }
  } finally {
    // An open cursor would let the next one on this connection wait for ever.
    await cursor.close();
  }
}
