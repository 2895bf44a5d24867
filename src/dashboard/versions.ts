/** Two versions of a row side by side, the columns that differ first. */
import { el } from './dom.js';
import { timeElement } from './times.js';

export interface Version {
  readonly title: string;
  readonly note: string | null;
  /** Columns and texts as parsed; null: there is no such row. */
  readonly row: unknown;
  readonly at: string | null;
}

/** As stored by the server: an object of column and text. What is none comes back as the text it is. */
export function parseRow(stored: string | null): Readonly<Record<string, unknown>> | unknown[] | string | null {
  if (stored === null) return null;
  try {
    const value: unknown = JSON.parse(stored);
    return typeof value === 'object' ? (value as Readonly<Record<string, unknown>>) : stored;
  } catch {
    return stored;
  }
}

export function versions(pair: readonly [Version, Version]): HTMLElement {
  const rows = pair.map(({ row }) => columnsOf(row));
  const names = [...new Set(rows.flatMap((row) => [...(row?.keys() ?? [])]))];
  const line = (name: string) => {
    const shown = rows.map((row) => (row === null ? null : (row.get(name) ?? null)));
    const differs = rows[0] !== null && rows[1] !== null && shown[0] !== shown[1];
    return { name, shown, differs };
  };
  const lines = names.map(line).sort((a, b) => Number(b.differs) - Number(a.differs));
  const row = ({ differs, name, shown }: ReturnType<typeof line>) =>
    el(
      'tr',
      { 'data-differs': String(differs) },
      el('th', { scope: 'row' }, name, differs && el('span', { class: 'hidden' }, ' (differs)')),
      ...shown.map((value, i) => cell(value, rows[i] === null)),
    );
  return el(
    'table',
    { class: 'versions' },
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Column'), ...pair.map(heading))),
    el('tbody', {}, ...lines.map(row)),
  );
}

function heading({ at, note, row, title }: Version): HTMLElement {
  return el(
    'th',
    { scope: 'col' },
    title,
    note !== null && el('span', { class: 'kept' }, note),
    row === null && note === null && el('span', { class: 'hint' }, ' no row'),
    at !== null && el('span', { class: 'hint' }, ' ', timeElement(at)),
  );
}

function cell(value: string | null, absent: boolean): HTMLElement {
  if (absent) return el('td', { class: 'absent' }, '–');
  return value === null ? el('td', {}, el('i', {}, 'NULL')) : el('td', {}, el('code', {}, value));
}

function columnsOf(row: unknown): Map<string, string | null> | null {
  if (row === null || row === undefined) return null;
  if (typeof row !== 'object') return new Map([['', String(row)]]);
  return new Map(
    Object.entries(row).map(([name, value]) => [
      name,
      value === null || value === undefined ? null : typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );
}
