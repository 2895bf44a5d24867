/** Every change of the control row, newest first. It is read again when the epoch has moved. */
import type { HistoryEntry } from '../core/failover.js';
import type { ControllerView } from '../core/system.js';
import { ApiError, read } from './api.js';
import { byId, el, fill, text } from './dom.js';
import { milliseconds } from './format.js';
import { guardList } from './guards.js';
import { timeElement } from './times.js';

const LIMIT = 50;

export class HistoryPanel {
  #epoch = -1;

  constructor() {
    // It scrolls by itself: for the keyboard.
    byId('history').tabIndex = 0;
  }

  show(controller: ControllerView | null): void {
    byId('history-card').hidden = controller === null;
    if (controller === null || controller.epoch === this.#epoch) return;
    this.#epoch = controller.epoch;
    void this.#load();
  }

  /** The connection was away: entries may have come meanwhile. */
  reload(controller: ControllerView | null): void {
    if (controller !== null) void this.#load();
  }

  async #load(): Promise<void> {
    const note = byId('history-note');
    try {
      const entries = await read<HistoryEntry[]>(`api/system/history?limit=${LIMIT}`);
      fill(byId('history'), ...entries.map(entryElement));
      text(note, entries.length === 0 ? 'Nothing has happened yet' : '');
    } catch (error) {
      // The next epoch tries again; until then what is shown stays.
      this.#epoch = -1;
      text(note, error instanceof ApiError ? 'Cannot be read at the moment' : '');
    }
  }
}

function entryElement(entry: HistoryEntry): HTMLLIElement {
  const { active, actor, at, durationMs, epoch, from, guards, reason, to } = entry;
  const change = from === to ? [el('code', {}, to)] : [el('code', {}, from), ' → ', el('code', {}, to)];
  return el(
    'li',
    { class: 'entry', 'data-active': active },
    el(
      'div',
      { class: 'line' },
      el('span', { class: 'change' }, ...change),
      el('span', { class: 'when' }, timeElement(at)),
    ),
    el(
      'p',
      { class: 'why' },
      `Epoch ${epoch} · ${active} active · ${actor}: ${reason}${durationMs === null ? '' : ` · ${milliseconds(durationMs)}`}`,
    ),
    guards.length > 0 && el('details', {}, el('summary', {}, `${guards.length} guards`), guardList(guards)),
  );
}
