/** What every copy from the secondary to the primary needs. */
import type { TargetSession } from '../apply/target-session.js';
import type { Journal } from './journal.js';
import type { RecoveryTable, RecoveryTables } from './tables.js';

export interface CopyContext {
  readonly tables: RecoveryTables;
  readonly journal: Journal;
  /** Tables whose triggers may be switched off. */
  readonly owned: ReadonlySet<RecoveryTable>;
  /** Reads on the secondary. */
  readonly read: <T>(work: (session: TargetSession) => Promise<T>) => Promise<T>;
}
