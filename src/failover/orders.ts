/** What a person orders: guards first, then the machine's event, and an answer when it has been carried out or undone. */
import type { Clock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import type { FailoverState, Guard, Order, OrderResult, Verb } from '../core/failover.js';
import type { Side } from '../core/route.js';
import type { Announcements } from './announcements.js';
import type { Changes } from './changes.js';
import type { ControlRow } from './control-row.js';
import { describeRefusals, refusals } from './guards.js';
import type { Judgement } from './judgement.js';
import { refusalOf } from './machine.js';
import type { Event, MachineState, Thresholds } from './machine-types.js';
import type { Intent } from './next-row.js';
import type { Observation } from './observation.js';

export interface OrderParts {
  readonly thresholds: Thresholds;
  readonly clock: Clock;
  readonly judgement: Judgement;
  readonly observation: Observation;
  readonly said: Announcements;
  readonly changes: Changes;
  readonly leads: () => boolean;
  readonly row: () => ControlRow | null;
  readonly machine: () => MachineState;
  /** In its turn among the events; returns why it was refused, or null. */
  readonly post: (event: Event, intent: Intent) => Promise<string | null>;
  /** In its turn: the row with another flag. */
  readonly setPaused: (paused: boolean, order: Order) => Promise<void>;
  /** Both sides have been asked, however long the primary was left alone. */
  readonly awake: () => Promise<void>;
}

type Change = Exclude<Verb, 'pause' | 'resume'>;

export class Orders {
  readonly #parts: OrderParts;

  constructor(parts: OrderParts) {
    this.#parts = parts;
  }

  /** Resolves when the order has been carried out, undone or refused. */
  async carryOut(order: Order): Promise<OrderResult> {
    const { awake, changes, clock, judgement, leads, post, row, said } = this.#parts;
    const begunMs = clock.monotonic();
    const from = row();
    if (!leads() || !from) throw notLeading();
    await awake();
    const { verb } = order;
    if (verb === 'pause' || verb === 'resume') return this.#pause(verb === 'pause', order, begunMs);
    const guards = await judgement.guards(verb, true);
    const how = this.#howOf(verb);
    const answer = (done: boolean, refused: boolean, message: string): OrderResult => ({
      ...this.#answer(begunMs),
      done,
      refused,
      message,
      how,
      guards,
    });
    const refused = refusals(guards, order);
    if (refused.length > 0) return answer(false, true, describeRefusals(refused));
    if (order.dryRun) {
      const no = refusalOf(this.#parts.machine(), { verb, how: how ?? 'crash' }, this.#parts.thresholds);
      return answer(false, no !== null, no ?? 'Every guard holds.');
    }
    const { epoch } = this.#known();
    said.lastAlert = null;
    const { actor, reason } = order;
    const why = await post({ kind: 'ordered', verb, how: how ?? 'crash' }, { actor, reason, guards, how, begunMs });
    if (why !== null) return answer(false, true, why);
    if (this.#known().epoch === epoch)
      return answer(false, false, 'The control row could not be moved; the log says why.');
    await changes.until(() => this.#atRest());
    const wanted: Side = verb === 'failover' ? 'secondary' : 'primary';
    const done = this.#known().active === wanted && this.#known().phase === 'open';
    return answer(done, false, done ? `The ${wanted} is active.` : (said.lastAlert ?? 'It was undone.'));
  }

  async #pause(paused: boolean, order: Order, begunMs: number): Promise<OrderResult> {
    if (!order.dryRun) await this.#parts.setPaused(paused, order);
    return {
      ...this.#answer(begunMs),
      done: !order.dryRun,
      refused: false,
      message: paused ? 'Automatic failover and failback are paused.' : 'Automatic failover and failback are on.',
      how: null,
      guards: [] as Guard[],
    };
  }

  #answer(begunMs: number): { readonly state: FailoverState; readonly epoch: number; readonly tookMs: number } {
    const { clock, machine, row } = this.#parts;
    return { state: machine().state, epoch: row()?.epoch ?? 0, tookMs: Math.round(clock.monotonic() - begunMs) };
  }

  #howOf(verb: Change): 'crash' | 'switchover' | null {
    if (verb !== 'failover') return null;
    const { machine, observation } = this.#parts;
    return observation.primary.connected && machine().primaryFailures === 0 ? 'switchover' : 'crash';
  }

  /** Nothing is under way for which routers are held, or nothing that this process could bring to an end. */
  #atRest(): boolean {
    const { leads, machine, row } = this.#parts;
    return row()?.phase === 'open' || !leads() || machine().state === 'MANUAL_REQUIRED';
  }

  #known(): ControlRow {
    const row = this.#parts.row();
    if (!row) throw notLeading();
    return row;
  }
}

export function notLeading(): RedundancyError {
  return new RedundancyError('This process does not lead as controller.', {
    code: 'not-leading',
    remedy: 'Ask the leading controller (DB_CONTROLLER_URL), or try again when this one has taken over.',
  });
}
