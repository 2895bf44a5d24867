/** The stream in economy mode: whether it may be left alone, when its rests begin and end, and what a wake took. */
import type { Clock } from '../core/clock.js';
import type { PrimaryRest, RestMode, RestView } from '../core/economy.js';
import type { StreamRest, StreamStatus } from '../core/status.js';
import type { TableRegistry } from '../pipeline/registry.js';
import type { ReconcileState } from '../reconcile/state.js';
import type { StreamSession } from './session.js';

export interface RestParts {
  readonly rest: PrimaryRest & { view?: () => RestView };
  readonly clock: Clock;
  readonly registry: TableRegistry;
  readonly reconcile: Pick<ReconcileState, 'busy' | 'hasOrders'>;
  readonly session: () => StreamSession | null;
  readonly status: () => StreamStatus;
  /** The mode has changed. */
  readonly changed: (mode: RestMode) => void;
}

const LOOK_MS = 1000;

export class StreamAtRest {
  readonly #parts: RestParts;
  readonly #leave: () => void;
  /** Monotonic and wall clock of the use that ended the present or the last rest, until the slot is open. */
  #woken: { readonly ms: number; readonly atMs: number } | null = null;
  /** Wall clock: since the end of the last rest nobody knows of anything older that is not applied. */
  levelAtMs: number | null = null;
  #lastWakeSeconds: number | null = null;

  constructor(parts: RestParts) {
    this.#parts = parts;
    parts.rest.addObjection(() => this.objection);
    this.#leave = parts.rest.onChange((mode) => this.#onChange(mode));
  }

  get awake(): boolean {
    return this.#parts.rest.awake;
  }

  get mode(): RestMode {
    return this.#parts.rest.mode;
  }

  get wokenAtMs(): number | null {
    return this.#woken?.atMs ?? null;
  }

  /** Changes that somebody made have come, or somebody wants something that needs the primary. */
  stir(why: 'changes' | 'order'): void {
    this.#parts.rest.stir(why);
  }

  /** Why the stream still needs the primary; null: it does not. */
  get objection(): string | null {
    const { reconcile, registry, session, status } = this.#parts;
    // Its business is another's, or waits for the secondary to come home.
    if (status() === 'standby' || status() === 'fenced') return null;
    const running = session();
    if (running === null) return 'the stream does not run';
    if (registry.all().some(({ state }) => state === 'pending' || state === 'loading'))
      return 'tables are being loaded';
    if (reconcile.busy || reconcile.hasOrders) return 'a sweep or a verify is under way';
    return running.unfinished;
  }

  /** Resolves when a session may end because the primary is left alone: it has nothing to do and has stored where it is. */
  async mayLetGo(session: StreamSession, signal: AbortSignal): Promise<void> {
    for (;;) {
      await this.#parts.clock.sleep(LOOK_MS, signal);
      if (this.awake || this.objection !== null) continue;
      await session.storePosition(signal);
      // What came meanwhile is activity, and has ended the rest.
      if (!this.awake && this.objection === null) return;
    }
  }

  /** The slot is open again. */
  attached(): void {
    if (this.#woken !== null) this.#lastWakeSeconds = Math.round(this.#parts.clock.monotonic() - this.#woken.ms) / 1000;
    this.#woken = null;
  }

  view(): StreamRest | null {
    const view = this.#parts.rest.view?.();
    return view ? { ...view, lastWakeSeconds: this.#lastWakeSeconds } : null;
  }

  close(): void {
    this.#leave();
  }

  #onChange(mode: RestMode): void {
    const { changed, clock, rest } = this.#parts;
    if (mode === 'awake') {
      const now = clock.monotonic();
      const ms = Math.min(now, rest.lastActivityMs ?? now);
      this.#woken = { ms, atMs: clock.now() - (now - ms) };
      this.levelAtMs = this.#woken.atMs;
    } else this.#woken = null;
    changed(mode);
  }
}
