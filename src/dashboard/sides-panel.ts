/** Both databases, which one applications work on, and what flows between them. */
import type { SideHealth } from '../core/failover.js';
import type { Side } from '../core/route.js';
import type { ControllerView, SystemView } from '../core/system.js';
import { byId, el, fill, set, text } from './dom.js';
import { bytes, lagTime, plural } from './format.js';
import { showTime } from './times.js';

interface Flow {
  readonly direction: 'right' | 'left' | 'none';
  readonly label: string;
  readonly detail: string;
}

const HEALTH = {
  up: 'Connected',
  down: 'Does not answer',
  unknown: 'Not checked yet',
  // Economy mode: nobody of ours reaches it, and what is known is what applications say.
  resting: 'At rest, not asked',
} as const;

class SideCard {
  readonly #side: Side;
  readonly #root: HTMLElement;
  readonly #role = el('span', { class: 'role' });
  readonly #health = el('p', { class: 'health' });
  readonly #latency = el('dd');
  readonly #checked = el('time', { class: 'ago' });
  readonly #failures = el('p', { class: 'failures' });

  constructor(side: Side, name: string) {
    this.#side = side;
    this.#root = byId(`side-${side}`);
    fill(
      this.#root,
      el('div', { class: 'head' }, el('h2', { id: `name-${side}` }, name), this.#role),
      this.#health,
      el(
        'dl',
        {},
        el('div', {}, el('dt', {}, 'Latency'), this.#latency),
        el('div', {}, el('dt', {}, 'Last check'), el('dd', {}, this.#checked)),
      ),
      this.#failures,
    );
  }

  show(health: SideHealth, controller: ControllerView, resting: boolean): void {
    const active = controller.active === this.#side;
    const known = health.connected ? (resting ? 'resting' : 'up') : 'down';
    const state = health.lastCheck === null ? 'unknown' : known;
    set(this.#root, 'data-active', active);
    set(this.#root, 'data-health', state);
    text(this.#role, active ? 'Active' : 'Standby');
    text(this.#health, HEALTH[state]);
    text(this.#latency, health.latencyMs === null || resting ? '–' : `${Math.round(health.latencyMs)} ms`);
    showTime(this.#checked, resting ? null : health.lastCheck, resting ? 'left alone' : 'never');
    const failures = health.failures === 0 ? '' : `${plural(health.failures, 'failed check')} in a row`;
    text(this.#failures, [failures, health.error].filter(Boolean).join(': '));
    this.#failures.hidden = failures === '';
  }
}

let cards: Readonly<Record<Side, SideCard>> | null = null;

export function showSides(view: SystemView): void {
  const { controller } = view;
  byId('sides').hidden = controller === null;
  if (controller === null) return;
  cards ??= { primary: new SideCard('primary', 'Primary'), secondary: new SideCard('secondary', 'Secondary') };
  cards.primary.show(controller.primary, controller, view.economy?.rest?.mode === 'resting');
  cards.secondary.show(controller.secondary, controller, false);
  showFlow(flowOf(view, controller));
}

function flowOf({ lag, stream }: SystemView, controller: ControllerView): Flow {
  switch (controller.state) {
    case 'RECOVERING':
      return { direction: 'left', label: 'Catching up', detail: 'what was written on the secondary' };
    case 'READY':
      return { direction: 'left', label: 'Caught up', detail: 'and following' };
    case 'FENCING_SECONDARY':
    case 'DRAINING':
      return { direction: 'left', label: 'Last changes', detail: 'queries wait' };
    case 'FENCING_PRIMARY':
      return { direction: 'right', label: 'Last changes', detail: 'queries wait' };
    case 'SECONDARY_ACTIVE':
      return { direction: 'none', label: 'No replication', detail: 'the primary is away' };
  }
  if (stream?.status === 'detached') return { direction: 'none', label: 'At rest', detail: 'everything applied' };
  if (stream !== null && !['streaming', 'snapshot', 'standby'].includes(stream.status))
    return { direction: 'none', label: stream.status, detail: 'changes wait in the slot' };
  if (lag === null) return { direction: 'right', label: 'Replication', detail: 'lag unknown' };
  const behind = lag.seconds === 0 && lag.bytes === 0 ? 'Up to date' : `${lagTime(lag.seconds)} behind`;
  return { direction: 'right', label: behind, detail: lag.bytes === 0 ? 'everything applied' : bytes(lag.bytes) };
}

function showFlow({ detail, direction, label }: Flow): void {
  const flow = byId('flow');
  if (flow.childElementCount === 0)
    fill(flow, el('b'), el('span', { class: 'arrow', 'aria-hidden': 'true' }), el('span'));
  flow.dataset.direction = direction;
  const [name, , more] = flow.children;
  if (name) text(name, label);
  if (more) text(more, detail);
}
