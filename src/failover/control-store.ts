/**
 * The control row on the secondary: read, and moved by compare-and-set to the next epoch by the controller that holds
 * the lease. The history row is part of the same statement. The mirror on the primary and the file follow.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import type { DurableState, Guard } from '../core/failover.js';
import type { Log } from '../core/log.js';
import { classify } from '../core/policy.js';
import type { RoutePhase, Side } from '../core/route.js';
import { CONTROL_COLUMNS, type ControlDetail, type ControlRow, parseControlRow } from './control-row.js';
import type { Database, TextRow } from './database.js';
import type { StateFile } from './state-file.js';

export interface Change {
  readonly state: DurableState;
  readonly active: Side;
  readonly phase: RoutePhase;
  readonly graceMs: number;
  readonly paused: boolean;
  readonly actor: string;
  readonly reason: string;
  readonly detail: Omit<ControlDetail, 'id' | 'nonce'>;
  /** Since the failover, failback or order began; null where that says nothing. */
  readonly durationMs: number | null;
  readonly guards: readonly Guard[];
}

/** Somebody else moved the row, or holds the lease: what was decided here is void. */
export class OvertakenError extends RedundancyError {
  constructor() {
    super('The control row was moved by another controller, or this one has lost its lease.', {
      code: 'overtaken',
      remedy: 'Nothing to do: the leading controller goes on; look at db:status.',
    });
  }
}

export interface StoreParts {
  readonly stream: string;
  readonly holder: string;
  readonly primary: Database;
  readonly secondary: Database;
  readonly file: StateFile;
  readonly clock: Clock;
  readonly log: Log;
  readonly deadlineMs: number;
}

const ADVANCE_SQL = `
WITH moved AS (
  UPDATE db_redundancy.control SET epoch = epoch + 1, state = $3, active = $4, phase = $5, grace_ms = $6::int8,
    paused = $7::bool, since = now(), actor = $8, reason = $9, detail = $10
  WHERE stream = $1 AND epoch = $2::int8
    AND EXISTS (SELECT 1 FROM db_redundancy.controller AS c WHERE c.stream = $1 AND c.holder = $11 AND c.until > now())
  RETURNING epoch, since)
INSERT INTO db_redundancy.history (stream, epoch, from_state, to_state, active, at, duration_ms, actor, reason, guards)
SELECT $1, epoch, $12, $3, $4, since, $13::int8, $8, $9, $14 FROM moved RETURNING epoch::text, at::text`;

const UPSERT_SQL = `
INSERT INTO db_redundancy.control AS c (stream, epoch, state, active, phase, grace_ms, paused, since, actor, reason, detail)
VALUES ($1, $2::int8, $3, $4, $5, $6::int8, $7::bool, $8::timestamptz, $9, $10, $11)
ON CONFLICT (stream) DO UPDATE SET epoch = excluded.epoch, state = excluded.state, active = excluded.active, phase = excluded.phase,
  grace_ms = excluded.grace_ms, paused = excluded.paused, since = excluded.since, actor = excluded.actor, reason = excluded.reason, detail = excluded.detail
WHERE c.epoch < excluded.epoch`;

const ATTEMPTS = 5;
const PAUSE_MS = 100;

export class ControlStore {
  readonly #parts: StoreParts;
  #mirroring: Promise<void> = Promise.resolve();

  constructor(parts: StoreParts) {
    this.#parts = parts;
  }

  async read(): Promise<ControlRow | null> {
    return this.#readFrom(this.#parts.secondary);
  }

  /**
   * The row to start from: the highest epoch among secondary, mirror and file of the same deployment; written to the
   * secondary where that is behind (it was restored from an older copy). Creates the first row.
   */
  async adopt(): Promise<ControlRow> {
    const { file, log, primary, secondary, stream } = this.#parts;
    const here = await this.read();
    const [mirror, stored] = await Promise.all([this.#readFrom(primary).catch(() => null), file.read()]);
    const id = here?.detail.id;
    const others = [mirror, stored].filter((row) => row !== null && (id === undefined || row.detail.id === id));
    const best = [here, ...others].reduce((a, b) => (b && (!a || b.epoch > a.epoch) ? b : a), null);
    if (best === null) {
      const first = firstRow([mirror, stored]);
      await this.#upsert(secondary, first);
      const row = await this.read();
      if (!row) throw new RangeError(`The control row of stream ${stream} cannot be read back`);
      return row;
    }
    if (best !== here) {
      log.error(
        { found: here?.epoch ?? null, epoch: best.epoch, state: best.state },
        `The control row on the secondary is older than what was known here: epoch ${best.epoch} (${best.state}) is put back`,
      );
      await this.#upsert(secondary, best);
    }
    return best;
  }

  /** The row at its next epoch. @throws OvertakenError, or the driver's error when the secondary cannot be reached */
  async advance(from: ControlRow, change: Change): Promise<ControlRow> {
    const { clock, deadlineMs, holder, secondary, stream } = this.#parts;
    const detail: ControlDetail = { ...change.detail, id: from.detail.id || randomUUID(), nonce: randomUUID() };
    const values = [
      stream,
      String(from.epoch),
      change.state,
      change.active,
      change.phase,
      String(change.graceMs),
      String(change.paused),
      change.actor,
      change.reason,
      JSON.stringify(detail),
      holder,
      from.state,
      change.durationMs === null ? null : String(Math.round(change.durationMs)),
      JSON.stringify(change.guards),
    ];
    for (let attempt = 1; ; attempt++) {
      try {
        const [moved] = await secondary.run(ADVANCE_SQL, values, deadlineMs);
        if (moved) return await this.#moved(from, change, detail, moved);
        break;
      } catch (error) {
        const { action } = classify(error);
        if (attempt >= ATTEMPTS || (action !== 'retry' && action !== 'reread-checkpoint')) throw error;
        await clock.sleep(PAUSE_MS);
      }
    }
    // An answer may have been lost on the way: then the row is at our epoch and carries our mark.
    const now = await this.read();
    if (now?.detail.nonce !== detail.nonce) throw new OvertakenError();
    await this.#keep(now);
    return now;
  }

  /** Writes the mirror and the file for a row that was read; never fails. */
  async #keep(row: ControlRow): Promise<void> {
    const { file, log } = this.#parts;
    try {
      await file.write(row);
    } catch (error) {
      log.warn({ err: error }, 'The control row cannot be written to DB_STATE_DIR');
    }
    this.mirror(row);
  }

  /** In the background: the primary may be away, and a decision does not wait for its mirror. */
  mirror(row: ControlRow): void {
    this.#mirroring = this.#mirroring
      .then(() => this.#upsert(this.#parts.primary, row))
      .catch((error: unknown) => this.#parts.log.debug({ err: error }, 'The mirror on the primary was not written'));
  }

  /** Until every mirror write that was begun has ended. */
  async settled(): Promise<void> {
    await this.#mirroring;
  }

  async #moved(from: ControlRow, change: Change, detail: ControlDetail, moved: TextRow): Promise<ControlRow> {
    const { state, active, phase, graceMs, paused, actor, reason } = change;
    const since = new Date(moved.at ?? Date.now()).toISOString();
    const row = { epoch: from.epoch + 1, state, active, phase, graceMs, paused, since, actor, reason, detail };
    await this.#keep(row);
    return row;
  }

  async #readFrom(database: Database): Promise<ControlRow | null> {
    const { deadlineMs, stream } = this.#parts;
    const text = `SELECT ${CONTROL_COLUMNS} FROM db_redundancy.control WHERE stream = $1`;
    return parseControlRow((await database.run(text, [stream], deadlineMs))[0]);
  }

  async #upsert(database: Database, row: ControlRow): Promise<void> {
    const { deadlineMs, stream } = this.#parts;
    const { epoch, state, active, phase, graceMs, paused, since, actor, reason, detail } = row;
    await database.run(
      UPSERT_SQL,
      [
        ...[stream, String(epoch), state, active, phase, String(graceMs), String(paused)],
        ...[since, actor, reason, JSON.stringify(detail)],
      ],
      deadlineMs,
    );
  }
}

/** Its epoch is above those of strangers that were found, so that no router holds on to one of theirs. */
function firstRow(strangers: readonly (ControlRow | null)[]): ControlRow {
  return {
    epoch: Math.max(0, ...strangers.map((row) => row?.epoch ?? 0)) + 1,
    state: 'PRIMARY_ACTIVE',
    active: 'primary',
    phase: 'open',
    graceMs: 0,
    paused: false,
    since: new Date().toISOString(),
    actor: 'controller',
    reason: 'first start',
    detail: { id: randomUUID(), cooldownFrom: null, failoverEpoch: null, how: null, nonce: '' },
  };
}
