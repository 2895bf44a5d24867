/** What the controller tells people: every change of state and every alert, to the log and to the webhook. */
import type { Clock } from '../core/clock.js';
import type { Log } from '../core/log.js';
import type { ControlRow } from './control-row.js';
import type { MachineState } from './machine-types.js';
import type { Notice, Webhook } from './webhook.js';

export interface AnnouncementParts {
  readonly stream: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly webhook: Webhook;
}

/** Alerts that are kept to be shown. */
const MOST_ALERTS = 10;

export class Announcements {
  readonly #parts: AnnouncementParts;
  #alerts: readonly string[] = [];
  /** The newest alert since the last order or the last change that came to its end. */
  lastAlert: string | null = null;
  failovers = 0;
  failbacks = 0;

  constructor(parts: AnnouncementParts) {
    this.#parts = parts;
  }

  get alerts(): readonly string[] {
    return this.#alerts;
  }

  /** The control row was moved. */
  moved(from: ControlRow, row: ControlRow): void {
    const { log, stream } = this.#parts;
    const { actor, active, epoch, reason, state } = row;
    if (from.active === 'primary' && active === 'secondary') {
      this.failovers += 1;
      log.warn({ epoch, actor, reason }, 'Initiating failover to secondary');
    } else if (from.active === 'secondary' && active === 'primary') {
      this.failbacks += 1;
      log.warn({ epoch, actor, reason }, 'Initiating failback to primary');
    }
    if (state === 'PRIMARY_ACTIVE' || state === 'SECONDARY_ACTIVE') this.#alerts = [];
    log.info({ epoch, from: from.state, state, active, actor, reason }, `Epoch ${epoch}: ${from.state} to ${state}`);
    const text = `${stream}: ${from.state} to ${state}, ${active} is active (epoch ${epoch}, ${actor}: ${reason})`;
    this.#send({ event: 'transition', state, epoch, active, text, actor, reason, at: row.since });
  }

  /** A change that only this process sees. */
  observed(from: MachineState, next: MachineState, epoch: number, reason: string): void {
    const { log, stream } = this.#parts;
    log.info({ from: from.state, state: next.state }, `${from.state} to ${next.state}`);
    if (next.state === 'PRIMARY_ACTIVE') this.#alerts = [];
    const text = `${stream}: ${from.state} to ${next.state}`;
    const { active, state } = next;
    this.#send({ event: 'transition', state, epoch, active, text, actor: 'controller', reason, at: this.#now() });
  }

  /** Something that a person has to know. Said once, until a change comes to its end. */
  alert(text: string, { active, state }: MachineState, epoch: number): void {
    this.lastAlert = text;
    if (this.#alerts.includes(text)) return;
    this.#alerts = [...this.#alerts.slice(1 - MOST_ALERTS), text];
    this.#parts.log.error({ state }, text);
    this.#send({ event: 'alert', state, epoch, active, text, actor: 'controller', reason: text, at: this.#now() });
  }

  #send(notice: Omit<Notice, 'stream'>): void {
    this.#parts.webhook.send({ stream: this.#parts.stream, ...notice });
  }

  #now(): string {
    return new Date(this.#parts.clock.now()).toISOString();
  }
}
