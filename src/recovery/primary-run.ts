/** What the work on a returned primary is done with, as long as one connection to it lives. */
import type { TargetSession } from '../apply/target-session.js';
import { formatLsn, type Lsn } from '../core/lsn.js';
import type { Link } from '../meta/target-link.js';
import { TablesStore } from '../streamer/tables-store.js';
import type { CatchupStore } from './catchup-store.js';
import type { CopierOptions } from './copier.js';
import type { Journal } from './journal.js';
import type { MergeContext } from './merge-tail.js';
import type { RecoveryOptions } from './options.js';
import type { RecoveryPhase } from './recovery.js';
import type { RecoveryState } from './recovery-state.js';
import { settleStale, settleTable } from './settle-table.js';
import { readTables } from './tables.js';
import { ownedTables } from './triggers.js';

export interface PrimaryRun {
  readonly merge: MergeContext;
  readonly copy: CopierOptions;
  readonly onPhase: (phase: RecoveryPhase) => void;
}

export interface RunParts {
  readonly options: RecoveryOptions;
  readonly link: Link;
  readonly evidence: Link;
  readonly journal: Journal;
  readonly store: CatchupStore;
  readonly primary: TargetSession;
  readonly fence: Lsn;
  readonly signal: AbortSignal;
  readonly state: RecoveryState;
  /** Everything that was committed on the secondary before the call is in the journal. */
  readonly caughtUp: () => Promise<void>;
}

/** Reads both catalogs. */
export async function prepareRun(parts: RunParts): Promise<PrimaryRun> {
  const { caughtUp, evidence, fence, journal, link, options, primary, signal, state, store } = parts;
  const { clock, log, stream } = options;
  const stored = await new TablesStore(link, stream).list();
  const listed = stored.map(({ name, schema, state }) => ({ name, schema, complete: state === 'streaming' }));
  const tables = await link.with((secondary) => readTables(primary, secondary, listed));
  const sides = { primary: options.primary, secondary: options.secondary, dialect: tables.dialect };
  const merge: MergeContext = {
    stream,
    link,
    primary,
    tables,
    store,
    journal,
    fence,
    options,
    signal,
    upToDate: null,
    evidence,
    nowMs: () => clock.now(),
  };
  const withEvidence = async (): Promise<MergeContext> => {
    const row = await link.with((session) => store.read(session));
    return { ...merge, upToDate: row?.journalComplete ? caughtUp : null };
  };
  return {
    onPhase: (phase) => {
      state.phase = phase;
    },
    merge,
    copy: {
      tables,
      journal,
      link,
      primary,
      owned: await ownedTables(primary, tables.ordered),
      read: (work) => link.with(work),
      sides,
      clock,
      log,
      at: options.at ?? (async () => undefined),
      fence: formatLsn(fence),
      settleStale: async (keys) => settleStale(await withEvidence(), keys),
      settleStaleTable: async (table) => settleTable(await withEvidence(), sides, table, null),
    },
  };
}
