/** What `status --watch` shows: a screen on a terminal, a line per change elsewhere. */
import type { HistoryEntry, SideHealth } from '../core/failover.js';
import { displayName } from '../core/ident.js';
import type { Side } from '../core/route.js';
import type { TableStatus } from '../core/status.js';
import type { StreamView, SystemView, Tone } from '../core/system.js';
import type { colorsFor } from '../log/colors.js';

export interface Watched {
  readonly base: string;
  readonly view: SystemView | null;
  readonly tables: readonly TableStatus[];
  readonly history: readonly HistoryEntry[];
  /** Null while the process answers. */
  readonly trouble: string | null;
}

type Colors = ReturnType<typeof colorsFor>;

const LABEL = 11;
const MOST_TABLES = 8;

export function screenLines(watched: Watched, color: Colors, nowMs: number, width = 80): string[] {
  const { base, history, tables, trouble, view } = watched;
  const row = (label: string, text: string) => `  ${label.padEnd(LABEL)}${text}`;
  const foot = color.dim(`${base} · Ctrl-C ends`);
  if (view === null) return [color.yellow(trouble ?? `Connecting to ${base}`), '', foot];
  const { controller, lag, stream, words } = view;
  const lines = [color.bold(tint(color, words.tone)(words.title)), ...wrapped(words.meaning, width)];
  lines.push(...wrapped(words.next, width).map((line) => color.dim(line)), '');
  if (trouble !== null) lines.unshift(color.red(`${trouble}; this is what was known`), '');
  if (controller !== null) {
    const since = controller.since === null ? '' : `, began ${ago(controller.since, nowMs)}`;
    lines.push(row('state', `${controller.state}, epoch ${controller.epoch}${since}`));
    for (const side of ['primary', 'secondary'] as const)
      lines.push(
        row(
          side,
          sideText(controller[side], controller.active === side, { color, nowMs, resting: resting(side, view) }),
        ),
      );
    for (const alert of controller.alerts) lines.push(row('alert', color.red(alert)));
  }
  lines.push(row('lag', lag === null ? '-' : `${lagText(lag)}${stream === null ? '' : `, stream ${stream.status}`}`));
  if (stream !== null) lines.push(...streamRows(stream, row, color));
  for (const [i, words] of (view.economy?.words ?? []).entries()) lines.push(row(i === 0 ? 'cost' : '', words));
  lines.push(row('tables', `${view.tables.streaming} of ${view.tables.total} streaming`));
  const others = tables.filter((table) => table.state !== 'streaming');
  for (const table of others.slice(0, MOST_TABLES))
    lines.push(row('', `${displayName(table)}  ${color.yellow(table.state)}  ${table.reason ?? loaded(table)}`));
  if (others.length > MOST_TABLES) lines.push(row('', `and ${others.length - MOST_TABLES} more`));
  history.forEach((entry, i) => {
    const change = `epoch ${entry.epoch}  ${entry.from} -> ${entry.to}`;
    lines.push(
      row(i === 0 ? 'history' : '', `${ago(entry.at, nowMs).padEnd(11)}${change}  ${entry.actor}: ${entry.reason}`),
    );
  });
  return [...lines, '', foot];
}

/** What the stream has to say beside its lag: its slot, and what it could not apply. */
function streamRows(
  { deadLetters, detail, dropped, slot }: StreamView,
  row: (label: string, text: string) => string,
  color: Colors,
): string[] {
  const rows: string[] = [];
  if (detail !== null) rows.push(row('stream', detail));
  if (slot !== null) {
    const kept = slot.retainedBytes === null ? '' : `, ${slot.retainedBytes.toLocaleString('en')} bytes of WAL kept`;
    rows.push(row('slot', `${slot.name}, ${slot.walStatus ?? color.red('missing')}${kept}`));
  }
  if (deadLetters > 0) rows.push(row('', color.yellow(`${deadLetters} dead letters: npm run db:dead-letters`)));
  if (dropped > 0) rows.push(row('', color.red(`${dropped} changes dropped: a defect, report it`)));
  return rows;
}

/** Without what changes all the time: the line is printed when it is another one than before. */
export function changeLine({ tables, trouble, view }: Watched): string {
  if (trouble !== null) return trouble;
  if (view === null) return '';
  const { controller, stream, words } = view;
  const paused = tables.filter((table) => table.state === 'paused').map(displayName);
  const down =
    controller === null ? [] : (['primary', 'secondary'] as const).filter((side) => !controller[side].connected);
  return [
    controller === null ? '' : `${controller.state} epoch ${controller.epoch} active ${controller.active}`,
    words.title,
    stream === null ? '' : `stream ${stream.status}`,
    `${view.tables.streaming} of ${view.tables.total} tables streaming`,
    paused.length === 0 ? '' : `paused: ${paused.join(', ')}`,
    down.length === 0 ? '' : `does not answer: ${down.join(', ')}`,
    ...(controller?.alerts ?? []).map((alert) => `alert: ${alert}`),
  ]
    .filter((part) => part !== '')
    .join(' · ');
}

/** Economy mode: nobody of ours reaches the primary now. */
function resting(side: Side, { economy }: SystemView): boolean {
  return side === 'primary' && economy?.rest?.mode === 'resting';
}

interface Shown {
  readonly color: Colors;
  readonly nowMs: number;
  readonly resting: boolean;
}

function sideText(health: SideHealth, active: boolean, { color, nowMs, resting }: Shown): string {
  const role = active ? color.bold(color.cyan('active '.padEnd(9))) : 'standby'.padEnd(9);
  if (health.lastCheck === null) return `${role}not checked yet`;
  const checked = `checked ${ago(health.lastCheck, nowMs)}`;
  if (health.connected && resting) return `${role}at rest, not asked`;
  if (health.connected)
    return `${role}${color.green('connected')}  ${Math.round(health.latencyMs ?? 0)} ms, ${checked}`;
  return `${role}${color.red('does not answer')}  ${health.failures} failed in a row, ${checked}: ${health.error ?? ''}`;
}

function tint(color: Colors, tone: Tone): (text: string) => string {
  return { good: color.green, busy: color.cyan, warning: color.yellow, bad: color.red }[tone];
}

function loaded({ rowsExpected, rowsLoaded }: TableStatus): string {
  return rowsLoaded === 0
    ? ''
    : `${rowsLoaded.toLocaleString('en')} of ${rowsExpected?.toLocaleString('en') ?? '?'} rows`;
}

/** Sentences matter to their end: a terminal that cuts long lines would cut what happens next. */
function wrapped(text: string, width: number): string[] {
  return (
    text.match(new RegExp(`.{1,${Math.max(20, width - 1)}}(?:\\s|$)|\\S+`, 'g'))?.map((line) => line.trimEnd()) ?? []
  );
}

function lagText({ bytes, seconds }: { readonly seconds: number; readonly bytes: number }): string {
  const time =
    seconds > 0 && seconds < 1 ? `${Math.max(1, Math.round(seconds * 1000))} ms` : `${Math.round(seconds)} s`;
  return `${time}, ${bytes.toLocaleString('en')} bytes`;
}

function ago(iso: string, nowMs: number): string {
  const past = Math.max(0, Math.round((nowMs - Date.parse(iso)) / 1000));
  if (past < 60) return `${past} s ago`;
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  return past < 172_800 ? `${Math.floor(past / 3600)} h ago` : `${Math.floor(past / 86_400)} days ago`;
}
