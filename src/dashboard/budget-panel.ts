/** The month of both providers against its budgets: what is used, and what it comes to. */
import type { BudgetLine } from '../core/economy.js';
import type { SystemView } from '../core/system.js';
import { byId, el, fill, set, text } from './dom.js';
import { count } from './format.js';

const hours = (value: number) => value.toFixed(value < 10 ? 1 : 0);

class Resource {
  readonly element = el('div', { class: 'resource' });
  readonly #numbers = el('span', { class: 'numbers' });
  readonly #verdict = el('b', { class: 'verdict' });
  readonly #used = el('span', { class: 'used' });
  readonly #projected = el('span', { class: 'projected' });
  readonly #budget = el('span', { class: 'limit' });
  readonly #unit: (value: number) => string;

  constructor(name: string, unit: (value: number) => string) {
    this.#unit = unit;
    // The bar says nothing that the sentence does not.
    const bar = el('div', { class: 'bar', 'aria-hidden': 'true' }, this.#projected, this.#used, this.#budget);
    fill(this.element, el('p', {}, el('b', {}, name), ' ', this.#numbers, ' ', this.#verdict), bar);
  }

  show({ budget, exceeded, projected, used }: BudgetLine): void {
    const end = projected === null ? 'too early for a projection' : `${this.#unit(projected)} projected`;
    text(this.#numbers, `${this.#unit(used)} used, ${end}, of ${this.#unit(budget)}`);
    text(this.#verdict, exceeded ? 'Over the budget' : '');
    set(this.element, 'data-over', exceeded);
    const full = Math.max(budget, used, projected ?? 0, 1);
    // Set as properties: the page's policy lets no style attribute in.
    this.#used.style.width = `${(used / full) * 100}%`;
    this.#projected.style.width = `${((projected ?? used) / full) * 100}%`;
    this.#budget.style.left = `${(budget / full) * 100}%`;
  }
}

const units = new Resource('Request units', count);
const compute = new Resource('Compute-hours', hours);

export function showBudget({ economy }: SystemView): void {
  const budget = economy?.budget ?? null;
  const card = byId('budget');
  card.hidden = budget === null;
  if (budget === null) return;
  const list = byId('budget-lines');
  if (list.childElementCount === 0) fill(list, compute.element, units.element);
  units.show(budget.requestUnits);
  compute.element.hidden = budget.computeHours === null;
  if (budget.computeHours !== null) compute.show(budget.computeHours);
  const slowed = 'Sweep and verify come more seldom, because a budget will not last.';
  text(byId('budget-note'), budget.slowed ? slowed : `By estimate, since ${budget.since.slice(0, 10)}`);
}
