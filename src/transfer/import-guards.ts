/** What stands between a checked file and the first write. Nothing here changes anything. */
import pg, { type ClientConfig } from 'pg';
import { RedundancyError } from '../core/errors.js';
import { displayName, tableKey } from '../core/ident.js';
import { RAW_TEXT_TYPES } from '../core/raw-types.js';
import type { Side } from '../reconcile/row-hash.js';
import type { ExportHeader, ExportTrailer } from './file-format.js';
import type { ImportTarget, TargetColumns } from './import-target.js';
import { ImportRefused } from './transfer-errors.js';

/** A leader renews its checkpoint at least every 30 seconds. */
const LEADER_SECONDS = 60;
const ABSENT = new Set(['42P01', '3F000', '42703']);

/** Where the application writes now. Before the first failover, and when the secondary cannot be asked: the primary. */
export async function activeSide(secondary: ClientConfig, stream: string): Promise<Side> {
  const rows = await ask(secondary, 'SELECT active AS value FROM db_redundancy.control WHERE stream = $1', [stream]);
  return rows?.[0]?.value === 'secondary' ? 'secondary' : 'primary';
}

/** The process that streams into the secondary, if one does. */
export async function streamLeader(secondary: ClientConfig, stream: string): Promise<string | null> {
  const recent = `SELECT leader AS value FROM db_redundancy.checkpoint WHERE stream = $1 AND leader IS NOT NULL AND renewed_at > now() - interval '${LEADER_SECONDS} seconds'`;
  return (await ask(secondary, recent, [stream]))?.[0]?.value ?? null;
}

async function ask(
  config: ClientConfig,
  text: string,
  values: string[],
): Promise<Record<string, string | null>[] | null> {
  const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...config, types: RAW_TEXT_TYPES } as ClientConfig);
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch {
    return null;
  }
  try {
    return (await client.query<Record<string, string | null>>(text, values)).rows;
  } catch (error) {
    if (ABSENT.has((error as { code?: string }).code ?? '')) return null;
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

export function assertSide(side: Side, active: Side, leader: string | null): void {
  if (side === active) {
    throw new ImportRefused(
      `The ${side} is the active database: the application writes to it.`,
      'active-side',
      'Stop the application, then repeat the command with --force.',
    );
  }
  if (side === 'secondary' && leader !== null) {
    throw new ImportRefused(
      'A streamer writes to the secondary at this moment.',
      'streamer-runs',
      'Stop it for the time of the import, or repeat the command with --force.',
    );
  }
}

export function assertHoldsValues(target: ImportTarget, trailer: ExportTrailer): void {
  if (target.dialect !== 'cockroach' || trailer.notForCockroach.length === 0) return;
  const list = trailer.notForCockroach.map(
    ({ column, values, reason, ...table }) => `${displayName(table)}.${column}: ${values} (${reason})`,
  );
  throw new RedundancyError(
    `The file has values that CockroachDB would not hold as they are: ${list.join('; ')}. Nothing was written.`,
    {
      code: 'not-for-cockroach',
      remedy: 'Change those rows on the source and export again, or import into PostgreSQL.',
    },
  );
}

export interface TargetTables {
  /** Tables of the file that the target has, by tableKey. */
  readonly present: Map<string, TargetColumns>;
  /** At least one of them has rows. */
  readonly filled: boolean;
}

/** @throws when a table lacks columns, or has rows and may not */
export async function assertFits(
  target: ImportTarget,
  header: ExportHeader,
  mayHaveRows: boolean,
): Promise<TargetTables> {
  const present = new Map<string, TargetColumns>();
  const filled: string[] = [];
  const lacking: string[] = [];
  for (const table of header.tables) {
    const columns = await target.columns(table);
    if (columns === null) continue;
    present.set(tableKey(table), columns);
    const absent = table.columns.filter((name) => !columns.names.has(name));
    if (absent.length > 0) lacking.push(`${displayName(table)} (${absent.join(', ')})`);
    if (!(await target.isEmpty(table))) filled.push(displayName(table));
  }
  if (lacking.length > 0) {
    throw new RedundancyError(`Tables of the target lack columns of the file: ${lacking.join('; ')}.`, {
      code: 'columns-missing',
      remedy: 'Bring the target to the schema of the export, or drop those tables: the import creates them.',
    });
  }
  if (filled.length > 0 && !mayHaveRows) {
    throw new ImportRefused(
      `Tables of the target are not empty: ${filled.join(', ')}.`,
      'not-empty',
      'Empty them first; or repeat the command with --force, which adds the rows whose keys are not there and leaves the others as they are.',
    );
  }
  return { present, filled: filled.length > 0 };
}
