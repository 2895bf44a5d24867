/**
 * An order, in steps: token and reason; then a dry run with every guard; then, when the guards hold or a person goes past
 * them, the order itself and what came of it. Nothing is changed before the last step.
 */
import type { OrderResult } from '../core/failover.js';
import type { TableStatus } from '../core/status.js';
import type { SystemView } from '../core/system.js';
import { ApiError, knownToken, order, rememberToken } from './api.js';
import { el, fill, set } from './dom.js';
import { nameOf } from './format.js';
import { guardList } from './guards.js';
import { answerOf, ORDERS, type OrderAnswer, type OrderInput, type OrderName, requestOf } from './orders.js';

export type { OrderName } from './orders.js';

const OVERRIDES = {
  force: 'Go past cool-down, pause and routers that still write',
  'allow-data-loss': 'Allow data loss: go past the limit on lag and incomplete tables',
} as const;

export class OrderDialog {
  tables: readonly TableStatus[] = [];
  readonly #dialog: HTMLDialogElement;
  #state = '';
  #input: OrderInput = { name: 'pause', reason: '', table: '', repair: false, force: false, allowDataLoss: false };
  /** Answers to steps that were left meanwhile are of no interest. */
  #turn = 0;

  constructor(dialog: HTMLDialogElement) {
    this.#dialog = dialog;
    dialog.addEventListener('close', () => {
      this.#turn += 1;
    });
  }

  show(view: SystemView): void {
    this.#state = view.words.title;
  }

  open(name: OrderName, table = ''): void {
    this.#input = { name, reason: '', table, repair: false, force: false, allowDataLoss: false };
    this.#ask(null);
    this.#dialog.showModal();
    this.#focus();
  }

  /** First step. */
  #ask(problem: string | null): void {
    const { perTable, what } = ORDERS[this.#input.name];
    const reason = el('input', { id: 'order-reason', required: true, maxlength: '500', autocomplete: 'off' });
    reason.value = this.#input.reason;
    const token = el('input', {
      ...{ id: 'order-token', type: 'password', required: true, autocomplete: 'off', spellcheck: 'false' },
    });
    token.value = knownToken();
    const table = this.#tableChoice();
    const repair = el('input', { type: 'checkbox', id: 'order-repair' });
    repair.checked = this.#input.repair;
    const submit = el('button', { type: 'submit', class: 'primary' }, 'Check first');
    const form = el(
      'form',
      {},
      el('p', {}, what),
      perTable && field('order-table', 'Table', table),
      this.#input.name === 'verify' && el('label', { class: 'check' }, repair, 'Repair rows that differ'),
      field('order-reason', 'Reason, kept in the history', reason),
      field('order-token', 'Control token', token),
      problem !== null && el('p', { class: 'problem', role: 'alert' }, problem),
      this.#buttons(submit, 'Cancel'),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      rememberToken(token.value);
      this.#input = { ...this.#input, reason: reason.value.trim(), table: table.value, repair: repair.checked };
      submit.disabled = true;
      submit.textContent = 'Checking…';
      void this.#check();
    });
    this.#render(form);
  }

  /** Second step: every guard with its value. */
  async #check(): Promise<void> {
    const answer = await this.#send(true);
    if (answer === null) return;
    const { confirm, grave } = ORDERS[this.#input.name];
    const go = el('button', { type: 'button', class: grave ? 'grave' : 'primary' }, confirm);
    go.disabled = answer.refused;
    go.addEventListener('click', () => {
      go.disabled = true;
      go.textContent = 'Under way…';
      void this.#carryOut();
    });
    const back = el('button', { type: 'button' }, 'Back');
    back.addEventListener('click', () => {
      this.#ask(null);
      this.#focus();
    });
    this.#render(
      el('p', {}, `Now: ${this.#state}. Nothing has been changed yet.`),
      answer.guards.length > 0 ? guardList(answer.guards) : el('p', {}, 'No guard stands in the way.'),
      verdict(answer),
      ...this.#overrides(answer),
      this.#buttons(go, 'Cancel', back),
    );
    this.#focus();
  }

  /** Last step. */
  async #carryOut(): Promise<void> {
    const answer = await this.#send(false);
    if (answer === null) return;
    const close = el('button', { type: 'button', class: 'primary', autofocus: true }, 'Close');
    close.addEventListener('click', () => this.#dialog.close());
    this.#render(
      el('p', { class: answer.done ? 'fine' : 'problem', role: 'alert', id: 'order-result' }, answer.message),
      answer.refused && answer.guards.length > 0 ? guardList(answer.guards) : null,
      el('div', { class: 'buttons' }, close),
    );
    close.focus();
  }

  /** @returns null when the dialog has moved on, or went back to the first step with what was wrong */
  async #send(dryRun: boolean): Promise<OrderAnswer | null> {
    this.#turn += 1;
    const turn = this.#turn;
    try {
      const body = await order<OrderResult>(`api/system/${this.#input.name}`, requestOf(this.#input, dryRun));
      return turn === this.#turn ? answerOf(body) : null;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (turn !== this.#turn) return null;
      this.#ask(error.message);
      this.#focus(error.status === 401 ? '#order-token' : undefined);
      return null;
    }
  }

  /** What a person may go past: asked again with it, since a guard's value may have changed. */
  #overrides({ guards }: OrderAnswer): HTMLElement[] {
    const offered = new Set(guards.filter((guard) => !guard.ok).map((guard) => guard.override));
    if (offered.has(null)) return [];
    return (['force', 'allow-data-loss'] as const)
      .filter((flag) => offered.has(flag))
      .map((flag) => {
        const field = flag === 'force' ? 'force' : 'allowDataLoss';
        const box = el('input', { type: 'checkbox' });
        box.checked = this.#input[field];
        box.addEventListener('change', () => {
          this.#input = { ...this.#input, [field]: box.checked };
          void this.#check();
        });
        return el('label', { class: 'check' }, box, OVERRIDES[flag]);
      });
  }

  #tableChoice(): HTMLSelectElement {
    const names = this.tables.map(nameOf).sort();
    const select = el(
      'select',
      { id: 'order-table' },
      el('option', { value: '' }, 'All tables'),
      ...names.map((name) => el('option', { value: name }, name)),
    );
    select.value = this.#input.table;
    return select;
  }

  #buttons(main: HTMLButtonElement, cancelText: string, ...more: HTMLButtonElement[]): HTMLElement {
    const cancel = el('button', { type: 'button' }, cancelText);
    cancel.addEventListener('click', () => this.#dialog.close());
    return el('div', { class: 'buttons' }, cancel, ...more, main);
  }

  #render(...content: (Node | null)[]): void {
    const title = el('h2', { id: 'order-title', tabindex: '-1' }, ORDERS[this.#input.name].title);
    fill(this.#dialog, title, ...content);
    set(this.#dialog, 'data-grave', ORDERS[this.#input.name].grave);
  }

  /** To what is to be filled in next, else to the title, so that the step is read out from its beginning. */
  #focus(selector?: string): void {
    const empty = [...this.#dialog.querySelectorAll<HTMLInputElement>('input[required]')].find(
      (input) => input.value === '',
    );
    const wanted = selector === undefined ? empty : this.#dialog.querySelector<HTMLElement>(selector);
    (wanted ?? this.#dialog.querySelector<HTMLElement>('#order-title'))?.focus();
  }
}

function field(id: string, label: string, input: HTMLElement): HTMLElement {
  return el('div', { class: 'field' }, el('label', { for: id }, label), input);
}

function verdict({ guards, message, refused }: OrderAnswer): HTMLElement {
  if (refused) return el('p', { class: 'problem' }, 'It would be refused as it is.');
  const past = guards.some((guard) => !guard.ok);
  return el('p', { class: past ? 'warning' : 'fine' }, past ? 'You go past what does not hold.' : message);
}
