/** What is going on, in words, with what a person can do about it. */
import type { SystemView } from '../core/system.js';
import { byId, el, fill, set, text } from './dom.js';
import { plural } from './format.js';
import type { OrderDialog, OrderName } from './order-dialog.js';
import { timeElement } from './times.js';

const BUTTONS: readonly (readonly [OrderName, string])[] = [
  ['failover', 'Failover'],
  ['failback', 'Failback'],
  ['pause', 'Pause'],
  ['resume', 'Resume'],
  ['sync', 'Sync'],
  ['verify', 'Verify'],
];

export class SituationPanel {
  readonly #buttons = new Map<OrderName, HTMLButtonElement>();
  readonly #note = el('p', { class: 'hint', id: 'control-note' });
  #announced = '';

  constructor(dialog: OrderDialog) {
    for (const [name, label] of BUTTONS) {
      const button = el('button', { type: 'button', 'data-order': name, hidden: true }, `${label}…`);
      button.addEventListener('click', () => dialog.open(name));
      this.#buttons.set(name, button);
    }
    const place = (id: string, label: string, ...names: OrderName[]) =>
      fill(byId(id), el('legend', { class: 'hidden' }, label), ...names.map((name) => this.#buttons.get(name) ?? null));
    place('actions', 'Control', 'failover', 'failback', 'pause', 'resume');
    place('table-actions', 'All tables', 'verify', 'sync');
    byId('actions').append(this.#note);
  }

  show(view: SystemView): void {
    const { name, words } = view;
    byId('situation').dataset.tone = words.tone;
    text(byId('stream-name'), name);
    text(byId('title'), words.title);
    text(byId('meaning'), words.meaning);
    text(byId('next'), words.next);
    document.title = `${words.title} · ${name}`;
    // Once per change of the state: numbers in the sentences change too often to be read out.
    if (this.#announced !== words.title) {
      this.#announced = words.title;
      text(byId('announce'), `${words.title}. ${words.meaning}`);
    }
    this.#facts(view);
    this.#alerts(view.controller?.alerts ?? []);
    this.#offer(view);
  }

  #facts({ controller, economy, stream }: SystemView): void {
    const facts: (readonly (Node | string)[])[] = [];
    if (controller !== null) {
      facts.push([el('code', {}, controller.state)]);
      facts.push(['Epoch ', el('b', {}, String(controller.epoch)), ', began ', timeElement(controller.since)]);
      if (controller.paused) facts.push([el('b', {}, 'Paused')]);
      if (!controller.leads && controller.epoch > 0) facts.push(['Another controller leads']);
      facts.push([plural(controller.routers, 'router'), ' connected']);
    }
    if (stream !== null) facts.push(['Stream ', el('b', {}, stream.status)]);
    if (stream?.slot?.retainedBytes != null && stream.slot.walStatus !== 'reserved')
      facts.push([el('b', {}, `Slot ${stream.slot.walStatus ?? 'missing'}`)]);
    for (const words of economy?.rested ?? []) facts.push([words]);
    if (stream !== null && stream.dropped > 0)
      facts.push([el('b', { class: 'bad' }, `${plural(stream.dropped, 'change')} dropped: a defect, report it`)]);
    fill(byId('facts'), ...facts.map((parts) => el('li', {}, ...parts)));
  }

  #alerts(alerts: readonly string[]): void {
    const list = byId('alerts');
    const shown = [...list.children].map((item) => item.textContent).join('\n');
    list.hidden = alerts.length === 0;
    if (shown !== alerts.join('\n')) fill(list, ...alerts.map((each) => el('li', {}, each)));
  }

  #offer({ can, controller }: SystemView): void {
    const secondary = controller?.active === 'secondary';
    const paused = controller?.paused === true;
    const offered: Readonly<Record<OrderName, readonly [shown: boolean, enabled: boolean]>> = {
      failover: [can.failover, !secondary],
      failback: [can.failover, secondary],
      pause: [can.failover && !paused, true],
      resume: [can.failover && paused, true],
      sync: [can.reconcile, !secondary],
      verify: [can.reconcile, !secondary],
    };
    for (const [name, button] of this.#buttons) {
      const [shown, enabled] = offered[name];
      button.hidden = !shown;
      button.disabled = !can.control || !enabled;
      set(button, 'aria-describedby', can.control ? undefined : 'control-note');
    }
    text(this.#note, can.control ? '' : 'Control is off, because DB_CONTROL_TOKEN is not set on the server.');
  }
}
