/** The change source of either dialect, and where it begins. */
import type { DialectName } from '../apply/dialect.js';
import type { TargetSession } from '../apply/target-session.js';
import { readTargetTable } from '../apply/target-table.js';
import type { ChangeSource } from '../catchup/change-source.js';
import { CockroachSource, cockroachPosition } from '../catchup/cockroach-source.js';
import { hlcToMs, parseHlc } from '../catchup/hlc.js';
import { createCatchUpSlot, dropCatchUpSlot, PostgresSource } from '../catchup/postgres-source.js';
import { quoteTable, type TableName, tableKey } from '../core/ident.js';
import { type KeyShape, keyShape } from './key-shape.js';
import type { RecoveryOptions } from './options.js';

export type KeyShapes = ReadonlyMap<string, KeyShape>;

/** The stream's tables as they are on the secondary; what is not there is left out. */
export async function readKeyShapes(session: TargetSession, tables: readonly TableName[]): Promise<KeyShapes> {
  const shapes = new Map<string, KeyShape>();
  for (const name of tables) {
    const table = await readTargetTable(session.client, name, session.dialect.table);
    if (table) shapes.set(tableKey(name), keyShape(table));
  }
  return shapes;
}

/** From here on changes are kept for us. A slot of that name is a former recovery's: it begins anew. */
export async function beginPosition(
  options: RecoveryOptions,
  session: TargetSession,
  shapes: KeyShapes,
): Promise<string> {
  const { catchUpPublication, catchUpSlot, secondary } = options;
  if (session.dialect.name === 'cockroach') return cockroachPosition(secondary);
  // Published without an identity, a table would refuse the application's UPDATE and DELETE.
  for (const shape of shapes.values())
    if (shape.keyNames.length === 0)
      await session.exec(`ALTER TABLE ${quoteTable(shape.schema, shape.name)} REPLICA IDENTITY FULL`);
  await dropCatchUpSlot(secondary, catchUpSlot);
  return createCatchUpSlot(secondary, catchUpSlot, catchUpPublication, [...shapes.values()]);
}

export function openSource(
  options: RecoveryOptions,
  dialect: DialectName,
  shapes: KeyShapes,
  position: string,
  onTrouble: (reason: string | null) => void,
): ChangeSource {
  const { catchUpPublication, catchUpSlot, clock, log, secondary } = options;
  const common = { connection: secondary, position, clock, log, onTrouble };
  if (dialect === 'cockroach')
    return new CockroachSource({
      ...common,
      early: true,
      tables: [...shapes.values()].map(({ schema, name }) => ({ schema, name })),
    });
  return new PostgresSource({ ...common, slot: catchUpSlot, publication: catchUpPublication });
}

/** A changefeed's positions are times. */
export function timeOf(dialect: DialectName): (at: string) => number | null {
  return dialect === 'cockroach' ? (at) => hlcToMs(parseHlc(at)) : () => null;
}
