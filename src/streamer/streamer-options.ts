import type { ClientBase, ClientConfig } from 'pg';
import type { Clock } from '../core/clock.js';
import type { PrimaryRest, RestView } from '../core/economy.js';
import type { TableName } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { RowsKind } from '../core/status.js';
import type { TargetLink } from '../meta/target-link.js';
import type { ReconcileSchedule } from '../reconcile/parts.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { Relabeled } from './label-keeper.js';
import type { SchemaService } from './schema-service.js';
import type { SessionSettings } from './session.js';
import type { TablesStore } from './tables-store.js';

export interface StreamerOptions {
  readonly primary: ClientConfig;
  readonly secondary: ClientConfig;
  readonly tables: readonly TableName[] | '*';
  readonly settings: Omit<SessionSettings, 'replication'>;
  readonly clock: Clock;
  readonly log: Log;
  /** How often slot, publication and tables are looked at on the primary; milliseconds, 15,000 by default. */
  readonly watchIntervalMs?: number;
  /** How soon a stream that has halted looks whether the cause was mended; milliseconds, 15,000 by default. */
  readonly haltedRetryMs?: number;
  /** Sweeps and verifies of their own accord; none by default, but those that are ordered. */
  readonly reconcile?: ReconcileSchedule;
  /** Whether the primary may be contacted: economy mode; always, by default. */
  readonly rest?: PrimaryRest & { view?: () => RestView };
  /** Told of each statement that is sent to the secondary. */
  readonly onStatement?: (text: string) => void;
  /** Told, whenever some have come, which rows fill the memory. */
  readonly onRows?: (kind: RowsKind) => void;
  /** Between two target transactions; 0 by default. More gathers more changes into one, and makes the secondary late. */
  readonly breathMs?: () => number;
  readonly schema: (parts: {
    source: SourcePool;
    link: TargetLink;
    store: TablesStore;
    untilVisible: (client: ClientBase) => Promise<void>;
    onRelabeled: (change: Relabeled) => Promise<void>;
  }) => SchemaService;
}
