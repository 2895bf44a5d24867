/** When it is this process's turn to lead: the primary may be contacted, the secondary is a standby, the slot is free. */
import { readCheckpoint } from '../apply/checkpoint.js';
import { sqlstateOf } from '../core/policy.js';
import { readSlot } from '../source/slot.js';
import type { SourcePool } from '../source/sql-pool.js';
import { STANDBY_POLL_MS } from './judge.js';
import type { StreamAtRest } from './leave-alone.js';
import type { SetupContext } from './setup.js';
import type { Situation } from './situation.js';

export interface TurnParts extends SetupContext {
  readonly lanes: SourcePool;
  readonly rest: StreamAtRest;
  readonly situation: Situation;
}

/** While the primary is left alone: so often the secondary is asked whether somebody has ordered something. */
const RESTING_POLL_MS = 60_000;
/** While it is held; the controller of the same process wakes the stream earlier. */
const HELD_POLL_MS = 5000;
/** Schema, table or column of the metadata are not there yet. */
const NOT_SET_UP = new Set(['3F000', '42P01', '42703']);

/**
 * While the primary is left alone nothing of the stream reaches it. Whoever has ordered something, in whatever process,
 * is heard within a minute.
 */
export async function untilAwake({ lanes, rest, signal, situation, source, store }: TurnParts): Promise<void> {
  if (rest.awake) return;
  await Promise.all([source.letGo(), lanes.letGo()]);
  while (!rest.awake) {
    if (rest.mode === 'elsewhere')
      situation.become(
        'standby',
        'Another controller leads, and the stream runs in its process; this one takes over with it.',
      );
    else
      situation.become(
        'detached',
        'The application is idle: the slot is free, and nothing of the stream reaches the primary.',
      );
    await situation.doze(RESTING_POLL_MS);
    signal.throwIfAborted();
    if (rest.mode === 'resting' && (await store.hasOrders())) rest.stir('order');
  }
  if (situation.status === 'standby') situation.become('starting');
}

/**
 * While the secondary is active nothing is read or written here: not the slot, whose tail is the recovery's, nor the
 * tables, which are the application's.
 */
export async function untilReleased({ link, log, signal, situation, stream }: TurnParts): Promise<void> {
  for (let first = true; ; first = false) {
    const held = await link
      .with((session) => readCheckpoint(session, stream))
      .then((row) => row?.held ?? null)
      .catch((error: unknown) => {
        // Before the first migration there is nothing that could be held.
        if (NOT_SET_UP.has(sqlstateOf(error) ?? '')) return null;
        throw error;
      });
    if (held === null) return;
    if (first) log.info({ held }, `The stream is held: ${held}`);
    situation.become('fenced', `The stream is held: ${held}. It goes on by itself after the failback.`);
    await situation.doze(HELD_POLL_MS);
    signal.throwIfAborted();
  }
}

/**
 * One process streams; the others look once a second whether the slot is free. Costs the secondary nothing.
 * @returns false when the primary is to be left alone meanwhile
 */
export async function untilSlotIsFree(parts: TurnParts): Promise<boolean> {
  const { clock, log, rest, signal, situation, slot, source } = parts;
  for (let first = true; ; first = false) {
    const found = await source.use((client) => readSlot(client, slot));
    situation.sawSlot(found);
    if (!found?.active) return true;
    if (first) log.info({ slot }, `Slot ${slot} is in use by another process; standing by to take over`);
    situation.become('standby', `Slot ${slot} is in use by another process; this one takes over when it is free.`);
    await clock.sleep(STANDBY_POLL_MS, signal);
    if (!rest.awake) return false;
  }
}
