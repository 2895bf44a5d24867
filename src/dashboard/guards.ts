/** Guards with their values: in the dialog before an order, and in the history after it. */
import type { Guard } from '../core/failover.js';
import { el } from './dom.js';

const NAMES: Readonly<Record<string, string>> = {
  'secondary-writable': 'The secondary takes writes',
  'stream-lag': 'The secondary is close behind',
  'tables-complete': 'All tables are complete on the secondary',
  'tables-current': 'No table is paused and old on the secondary',
  'routers-cut-off': 'No application still writes to the primary',
  'primary-steady': 'The primary answers steadily',
  'tail-merged': 'What never reached the secondary is merged',
  'catch-up-lag': 'The primary has nearly caught up',
  'cool-down': 'Enough time since the last change',
  'not-paused': 'Not paused',
  automatic: 'It may happen by itself',
  'primary-active': 'The primary is the active database',
};

export function guardList(guards: readonly Guard[]): HTMLUListElement {
  return el('ul', { class: 'guards' }, ...guards.map(guardItem));
}

function guardItem({ limit, name, ok, value }: Guard): HTMLLIElement {
  return el(
    'li',
    { 'data-ok': String(ok) },
    el('span', { class: 'mark', 'aria-hidden': 'true' }, ok ? '✓' : '✕'),
    el(
      'span',
      { class: 'guard' },
      el('span', { class: 'hidden' }, ok ? 'Holds: ' : 'Does not hold: '),
      NAMES[name] ?? name,
    ),
    el('span', { class: 'value' }, el('b', {}, value), ` · needs: ${limit}`),
  );
}
