/** Table by table: state, what was applied, and what sweep and verify have found. */
import type { SweepResult, TableStatus, VerifyResult } from '../core/status.js';
import type { SystemView } from '../core/system.js';
import { byId, el, fill, set, text } from './dom.js';
import { count, nameOf, plural } from './format.js';
import type { OrderDialog } from './order-dialog.js';
import { showTime } from './times.js';

const LABELS = ['Table', 'State', 'Rows applied', 'Last change', 'Last sweep', 'Last verify', 'Drift'] as const;
const NUMBERS: ReadonlySet<string> = new Set(['Rows applied', 'Drift']);

class TableRow {
  readonly row = el('tr');
  readonly reason = el('tr', { class: 'reason', hidden: true });
  readonly #state = el('span', { class: 'state' });
  readonly #applied = el('span');
  readonly #changed = el('time', { class: 'ago' });
  readonly #sweep = new Finding();
  readonly #verify = new Finding();
  readonly #drift = el('span');
  readonly #why = el('p');
  readonly #mend: HTMLButtonElement;

  constructor(name: string, dialog: OrderDialog) {
    const contents = [this.#applied, this.#changed, this.#sweep.element, this.#verify.element, this.#drift];
    const cells = [this.#state, ...contents].map((content, i) => {
      const label = LABELS[i + 1] ?? '';
      const kind = NUMBERS.has(label) ? 'number' : undefined;
      return el('td', { 'data-label': label, class: kind }, content);
    });
    fill(this.row, el('th', { scope: 'row' }, name), ...cells);
    this.#mend = el('button', { type: 'button', class: 'small' }, 'Sync this table…');
    this.#mend.addEventListener('click', () => dialog.open('sync', name));
    fill(this.reason, el('td', { colspan: String(LABELS.length) }, this.#why, mending(name), this.#mend));
  }

  show(table: TableStatus, { counted, mendable }: Offered): void {
    this.#state.dataset.state = table.state;
    text(this.#state, stateText(table));
    text(this.#applied, counted ? count(table.rowsApplied) : '–');
    showTime(this.#changed, table.lastChangeAt);
    this.#sweep.show(table.lastSweep?.at ?? null, table.lastSweep ? sweepText(table.lastSweep) : ['', true]);
    this.#verify.show(table.lastVerify?.at ?? null, table.lastVerify ? verifyText(table.lastVerify) : ['', true]);
    text(this.#drift, table.drift === undefined ? '–' : count(table.drift));
    set(this.#drift, 'class', (table.drift ?? 0) > 0 ? 'warning' : undefined);
    this.reason.hidden = table.state !== 'paused';
    text(this.#why, table.reason ?? '');
    this.#mend.hidden = !mendable;
  }
}

/** What this process can do for a table, and tell of it. */
interface Offered {
  readonly mendable: boolean;
  /** Rows are counted by the process that streams: any other knows what is stored. */
  readonly counted: boolean;
}

/** When, and what came of it. */
class Finding {
  readonly #time = el('time', { class: 'ago' });
  readonly #result = el('span', { class: 'result' });
  readonly element = el('span', { class: 'finding' }, this.#time, ' ', this.#result);

  show(at: string | null, [result, good]: readonly [string, boolean]): void {
    showTime(this.#time, at);
    text(this.#result, result);
    set(this.#result, 'data-good', String(good));
  }
}

export class TablesPanel {
  readonly #dialog: OrderDialog;
  readonly #rows = new Map<string, TableRow>();
  #tables: readonly TableStatus[] = [];
  #offered: Offered = { mendable: false, counted: true };

  constructor(dialog: OrderDialog) {
    this.#dialog = dialog;
  }

  offer({ can, stream }: SystemView): void {
    const mendable = can.control && can.reconcile;
    const counted = stream !== null && stream.status !== 'standby';
    if (mendable === this.#offered.mendable && counted === this.#offered.counted) return;
    this.#offered = { mendable, counted };
    this.show(this.#tables);
  }

  show(tables: readonly TableStatus[]): void {
    this.#tables = tables;
    const names = new Set(tables.map(nameOf));
    for (const [name, { reason, row }] of this.#rows) {
      if (names.has(name)) continue;
      row.remove();
      reason.remove();
      this.#rows.delete(name);
    }
    const body = byId('tables');
    for (const table of [...tables].sort((a, b) => nameOf(a).localeCompare(nameOf(b)))) {
      const name = nameOf(table);
      let row = this.#rows.get(name);
      if (row === undefined) {
        row = new TableRow(name, this.#dialog);
        this.#rows.set(name, row);
        body.append(row.row, row.reason);
      }
      row.show(table, this.#offered);
    }
    const paused = tables.filter((table) => table.state === 'paused').length;
    const streaming = tables.filter((table) => table.state === 'streaming').length;
    text(
      byId('tables-note'),
      `${plural(tables.length, 'table')}, ${count(streaming)} streaming${paused > 0 ? `, ${count(paused)} paused` : ''}`,
    );
  }
}

/** A reason that names the command itself is not the rule. */
function mending(name: string): HTMLElement {
  return el('p', { class: 'why' }, 'Mend the cause, then: ', el('code', {}, `npm run db:sync -- --table ${name}`));
}

function stateText({ rowsExpected, rowsLoaded, state }: TableStatus): string {
  if (state !== 'loading' || rowsExpected === null || rowsExpected === 0) return state;
  return `loading, ${Math.min(99, Math.floor((rowsLoaded / rowsExpected) * 100))}%`;
}

function sweepText({ coveredBy, repaired }: SweepResult): readonly [string, boolean] {
  if (coveredBy === 'verify') return ['by verify only', true];
  return repaired === 0 ? ['equal', true] : [`${count(repaired)} repaired`, false];
}

function verifyText(verify: VerifyResult): readonly [string, boolean] {
  if (verify.skipped !== null) return [verify.skipped, false];
  const differing = verify.missing + verify.extra + verify.different;
  if (differing === 0) return [`${count(verify.rows)} equal`, true];
  return [`${plural(differing, 'difference')}, ${count(verify.repaired)} repaired`, false];
}
