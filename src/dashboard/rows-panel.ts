/** Conflicts and dead letters: rows of the application, so they are read when somebody opens them, with the token. */
import type { ConflictEntry, DeadLetterEntry } from '../core/failover.js';
import { ApiError, knownToken, read, rememberToken } from './api.js';
import { byId, el, fill } from './dom.js';
import { timeElement } from './times.js';
import { parseRow, versions } from './versions.js';

const LIMIT = 100;

export function rowPanels(): void {
  panel<ConflictEntry>('conflicts', 'No conflicts.', conflict);
  panel<DeadLetterEntry>('dead-letters', 'No dead letters.', deadLetter);
}

function panel<T>(name: string, none: string, show: (entry: T) => HTMLElement): void {
  const details = byId<HTMLDetailsElement>(name);
  const list = details.querySelector<HTMLElement>('.list');
  if (list === null) return;
  const load = async (): Promise<void> => {
    try {
      const entries = await read<T[]>(`api/system/${name}?limit=${LIMIT}`);
      const refresh = el('button', { type: 'button', class: 'small' }, 'Read again');
      refresh.addEventListener('click', () => void load());
      fill(list, entries.length === 0 ? el('p', { class: 'none' }, none) : null, ...entries.map(show), refresh);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) fill(list, tokenForm(name, knownToken() === '' ? null : error.message, load));
      else fill(list, el('p', { class: 'problem', role: 'alert' }, error.message));
    }
  };
  details.addEventListener('toggle', () => {
    if (details.open) void load();
  });
}

function tokenForm(name: string, problem: string | null, load: () => Promise<void>): HTMLElement {
  const id = `token-${name}`;
  const input = el('input', { id, type: 'password', autocomplete: 'off', required: true, spellcheck: 'false' });
  const form = el(
    'form',
    { class: 'token' },
    el('label', { for: id }, 'Control token'),
    input,
    el('button', { type: 'submit' }, 'Show'),
    problem !== null && el('p', { class: 'problem', role: 'alert' }, problem),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    rememberToken(input.value);
    void load();
  });
  return form;
}

function conflict(entry: ConflictEntry): HTMLElement {
  const { createdAt, failoverEpoch, key, primaryVersion, rule, secondaryVersion, table, winner } = entry;
  return el(
    'article',
    { class: 'row-entry' },
    el('h3', {}, table, ' ', el('code', {}, keyText(key))),
    el('p', { class: 'why' }, `The ${winner} won by ${rule} · failover ${failoverEpoch} · `, timeElement(createdAt)),
    versions([
      {
        title: 'Primary',
        note: winner === 'primary' ? 'kept' : null,
        row: parseRow(primaryVersion),
        at: entry.primaryAt,
      },
      {
        title: 'Secondary',
        note: winner === 'secondary' ? 'kept' : null,
        row: parseRow(secondaryVersion),
        at: entry.secondaryAt,
      },
    ]),
  );
}

function deadLetter(entry: DeadLetterEntry): HTMLElement {
  const { change, commitLsn, createdAt, error, operation, sqlstate, table } = entry;
  const parsed = parseRow(change);
  const sides = parsed !== null && typeof parsed === 'object' && 'new' in parsed ? parsed : null;
  return el(
    'article',
    { class: 'row-entry' },
    el('h3', {}, `${operation} ${table}`),
    el('p', { class: 'why' }, `At ${commitLsn} · `, timeElement(createdAt)),
    el('p', { class: 'problem' }, sqlstate === null ? error : `${error} (${sqlstate})`),
    sides === null
      ? el('pre', {}, change)
      : versions([
          {
            title: 'Before',
            note: operation === 'update' && !sides.old ? 'not in the WAL' : null,
            row: sides.old ?? null,
            at: null,
          },
          { title: 'Change', note: null, row: sides.new ?? null, at: null },
        ]),
  );
}

/** A JSON array of the key's texts. */
function keyText(key: string): string {
  const parsed = parseRow(key);
  return Array.isArray(parsed) ? parsed.join(', ') : key;
}
