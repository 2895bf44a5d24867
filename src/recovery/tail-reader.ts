/**
 * The tail: what committed on the primary behind the checkpoint and before the fence, read from the forward stream's
 * slot. Nothing is confirmed: should the recovery be given up, the slot still has it all.
 */
import { randomUUID } from 'node:crypto';
import type { TargetSession } from '../apply/target-session.js';
import { RedundancyError } from '../core/errors.js';
import { type Lsn, maxLsn } from '../core/lsn.js';
import { sqlstateOf } from '../core/policy.js';
import { Assembler } from '../pipeline/assemble.js';
import type { TransactionPart } from '../pipeline/entries.js';
import { EntryQueue } from '../pipeline/queue.js';
import { openReplicationSession, type ReplicationSession } from '../source/replication-session.js';
import { readSourceState } from '../source/slot.js';
import { statusIntervalMs } from '../source/standby-status.js';
import type { RecoveryOptions } from './options.js';

/** The slot, or WAL that it needs, is gone: only a comparison tells what the tail was. */
export class TailLostError extends RedundancyError {
  constructor(reason: string, cause?: unknown) {
    super(`The primary's changes since the failover cannot be read, because ${reason}.`, {
      code: 'tail-lost',
      remedy: 'Nothing to do: all tables are compared instead.',
      cause,
    });
  }
}

const QUEUE = { highBytes: 4 << 20, lowBytes: 2 << 20 };
const PART = { partRows: 1000, partBytes: 2 << 20 };
/** A non-transactional message of ours marks the end: everything that committed before it comes before it. */
const END_PREFIX = 'db_redundancy.position';
const WAIT_MS = 1000;

export interface TailOptions {
  readonly options: RecoveryOptions;
  readonly primary: TargetSession;
  /** Where the slot may be told to be: the checkpoint. */
  readonly checkpoint: Lsn;
  /** Transactions that committed before it are merged. */
  readonly merged: Lsn;
  readonly signal: AbortSignal;
}

/** Parts in WAL order, without those of the catch-up itself. Rejects with a TailLostError when there is no such tail. */
export async function* readTail(tail: TailOptions): AsyncGenerator<TransactionPart, void, void> {
  const { checkpoint, merged, options, primary, signal } = tail;
  const state = await readSourceState(primary.client);
  const end = randomUUID();
  let wire: ReplicationSession | null = null;
  let ended = false;
  const queue = new EntryQueue(QUEUE, { pause: () => wire?.pause(), resume: () => wire?.resume() });
  const assembler = new Assembler({
    durable: maxLsn(checkpoint, merged),
    ...PART,
    emit: (entry) => {
      if (entry.kind === 'transaction' && !entry.echo && !ended) queue.push(entry);
    },
    onEcho: () => undefined,
  });
  try {
    wire = await openReplicationSession({
      connection: options.primary,
      slot: options.slot,
      publication: options.publication,
      startLsn: checkpoint,
      statusIntervalMs: statusIntervalMs(state.walSenderTimeoutMs),
      serverVersion: state.serverVersion,
      handler: {
        message: (message, bytes) => {
          if (message.kind === 'message' && message.prefix === END_PREFIX && message.content === end) ended = true;
          else assembler.message(message, bytes);
        },
        keepalive: () => undefined,
      },
    });
    let failure: { readonly error: unknown } | null = null;
    wire.ended.catch((error: unknown) => {
      failure = { error };
    });
    await primary.run({ text: 'SELECT pg_logical_emit_message(false, $1, $2)', values: [END_PREFIX, end] });
    for (;;) {
      signal.throwIfAborted();
      const entry = queue.shift();
      if (entry?.kind === 'transaction') yield entry;
      else if (failure) throw (failure as { error: unknown }).error;
      else if (ended) return;
      else await queue.wait(signal, ended ? 0 : WAIT_MS / 20);
    }
  } catch (error) {
    throw lostOf(error);
  } finally {
    queue.close();
    await wire?.close();
  }
}

/** 42704: no such slot; 55000: it was invalidated; 58P01: its WAL is gone. */
function lostOf(error: unknown): unknown {
  const sqlstate = sqlstateOf(error);
  if (sqlstate === '42704' || sqlstate === '55000' || sqlstate === '58P01')
    return new TailLostError('its replication slot or WAL is gone', error);
  return error;
}
