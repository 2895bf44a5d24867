/**
 * Foreign keys, triggers and the like, which a standby must not have and an active secondary should: created at
 * promotion, one by one and after it was opened, dropped before the stream writes there again. One that cannot be
 * created is reported and does not keep the others.
 */
import type { Log } from '../core/log.js';

export interface PromotionSession {
  run(text: string, values?: readonly (string | null)[]): Promise<Record<string, string | null>[]>;
}

/** A foreign key needs the unique constraint that it refers to. */
const ORDER = ['default', 'index', 'unique', 'exclusion', 'check', 'foreign-key', 'trigger'];

export interface Failure {
  readonly object: string;
  readonly error: string;
}

interface Item {
  readonly schema: string;
  readonly table: string;
  readonly kind: string;
  readonly name: string;
  readonly statement: string;
  readonly undo: string;
}

/** Creates what was not created yet. @returns what failed, this time or before */
export async function createPromoted(
  session: PromotionSession,
  stream: string,
  log: Log,
  signal: AbortSignal,
): Promise<Failure[]> {
  const failures: Failure[] = [];
  for (const item of (await items(session, stream, `state IS DISTINCT FROM 'created'`)).sort(inOrder)) {
    if (signal.aborted) break;
    const object = `${item.kind} ${item.name} of ${item.schema}.${item.table}`;
    try {
      // Said before it is done: after a crash in between it is dropped at failback all the same.
      await setState(session, stream, item, 'creating', null);
      await session.run(item.statement);
      await setState(session, stream, item, 'created', null);
      log.info({ object }, `Created ${object} on the secondary`);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      await setState(session, stream, item, 'failed', text);
      failures.push({ object, error: text });
      log.warn({ object, err: error }, `Not created on the secondary: ${object}`);
    }
  }
  return failures;
}

/** Drops what a promotion created, the last first. Resolves when nothing of it is left. */
export async function dropPromoted(session: PromotionSession, stream: string): Promise<void> {
  for (const item of (await items(session, stream, 'state IS NOT NULL')).sort(inOrder).reverse()) {
    await session.run(item.undo);
    await setState(session, stream, item, null, null);
  }
}

async function items(session: PromotionSession, stream: string, where: string): Promise<Item[]> {
  const rows = await session.run(
    `SELECT schema_name, table_name, kind, name, statement, undo FROM db_redundancy.promotion WHERE stream = $1 AND ${where}`,
    [stream],
  );
  return rows.map((row) => ({
    schema: row.schema_name ?? '',
    table: row.table_name ?? '',
    kind: row.kind ?? '',
    name: row.name ?? '',
    statement: row.statement ?? '',
    undo: row.undo ?? '',
  }));
}

function inOrder(a: Item, b: Item): number {
  return ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind);
}

async function setState(
  session: PromotionSession,
  stream: string,
  item: Item,
  state: string | null,
  error: string | null,
): Promise<void> {
  await session.run(
    `UPDATE db_redundancy.promotion SET state = $6, error = $7
     WHERE stream = $1 AND schema_name = $2 AND table_name = $3 AND kind = $4 AND name = $5`,
    [stream, item.schema, item.table, item.kind, item.name, state, error],
  );
}
