/** What the work on a returned primary is done with, as long as one connection to it lives. */
import type { TargetSession } from '../apply/target-session.js';
import type { Lsn } from '../core/lsn.js';
import type { TargetLink } from '../meta/target-link.js';
import { TablesStore } from '../streamer/tables-store.js';
import type { CatchupStore } from './catchup-store.js';
import type { CopierOptions } from './copier.js';
import type { Journal } from './journal.js';
import type { MergeContext } from './merge-tail.js';
import type { RecoveryOptions } from './options.js';
import type { RecoveryPhase } from './recovery.js';
import type { RecoveryState } from './recovery-state.js';
import { readTables } from './tables.js';
import { ownedTables } from './triggers.js';

export interface PrimaryRun {
  readonly merge: MergeContext;
  readonly copy: CopierOptions;
  readonly onPhase: (phase: RecoveryPhase) => void;
}

export interface RunParts {
  readonly options: RecoveryOptions;
  readonly link: TargetLink;
  readonly evidence: TargetLink;
  readonly journal: Journal;
  readonly store: CatchupStore;
  readonly primary: TargetSession;
  readonly fence: Lsn;
  readonly signal: AbortSignal;
  readonly state: RecoveryState;
}

/** Reads both catalogs. */
export async function prepareRun(parts: RunParts): Promise<PrimaryRun> {
  const { evidence, fence, journal, link, options, primary, signal, state, store } = parts;
  const { clock, log, stream } = options;
  const stored = await new TablesStore(link, stream).list();
  const listed = stored.map(({ name, schema, state }) => ({ name, schema, complete: state === 'streaming' }));
  const tables = await link.with((secondary) => readTables(primary, secondary, listed));
  return {
    onPhase: (phase) => {
      state.phase = phase;
    },
    merge: {
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
    },
    copy: {
      tables,
      journal,
      link,
      primary,
      owned: await ownedTables(primary, tables.ordered),
      read: (work) => link.with(work),
      sides: { primary: options.primary, secondary: options.secondary, dialect: tables.dialect },
      clock,
      log,
      at: options.at ?? (async () => undefined),
    },
  };
}
