/** `status --watch`: the events of the running process, drawn in place on a terminal, a line per change elsewhere. */
import { systemClock } from '../../core/clock.js';
import type { HistoryEntry } from '../../core/failover.js';
import { tableKey } from '../../core/ident.js';
import type { TableStatus } from '../../core/status.js';
import type { SystemView, TablesEvent } from '../../core/system.js';
import { LiveBlock } from '../../demo/live-block.js';
import { colorsFor } from '../../log/colors.js';
import { type ServerEvent, serverEvents } from '../event-source.js';
import { baseUrl } from '../remote.js';
import type { Runtime } from '../runtime.js';
import { changeLine, screenLines, type Watched } from '../watch-view.js';

const RETRY_MS = 2000;
const HISTORY_ENTRIES = 5;
const ASK_MS = 5000;
/** The ages on the screen go on. */
const DRAW_MS = 1000;

/** Until `signal` is aborted, which is how it is meant to end. */
export async function watch(
  { config }: Runtime,
  options: { readonly json?: boolean },
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const base = baseUrl(config);
  const state = new WatchState(base);
  const screen = output.isTTY && !options.json ? new LiveBlock(output) : null;
  const color = colorsFor(output);
  let printed = '';
  const draw = () => {
    screen?.draw(screenLines(state, color, Date.now(), output.columns));
    const line = changeLine(state);
    if (screen !== null || options.json || line === printed || line === '') return;
    printed = line;
    output.write(`${new Date().toISOString()}  ${line}\n`);
  };
  const timer = screen === null ? null : setInterval(draw, DRAW_MS);
  try {
    while (!signal.aborted) {
      try {
        for await (const event of serverEvents(new URL('/api/system/events', base), signal)) {
          if (options.json && event.name === 'system') output.write(`${event.data}\n`);
          if (await state.take(event, signal)) draw();
        }
        state.trouble = `The process at ${base} has ended`;
      } catch {
        state.trouble = `No process answers at ${base}; trying again`;
      }
      if (signal.aborted) break;
      draw();
      await systemClock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  } finally {
    if (timer !== null) clearInterval(timer);
    screen?.finish();
  }
}

/** The present state of the process at `base`; null where none answers, or one without events. */
export async function lookOnce(base: string, signal: AbortSignal): Promise<Watched | null> {
  const state = new WatchState(base);
  const enough = new AbortController();
  const either = AbortSignal.any([signal, enough.signal]);
  try {
    for await (const event of serverEvents(new URL('/api/system/events', base), either))
      if ((await state.take(event, either)) && state.view !== null) return state;
  } catch {
    // Whoever asks goes on without.
  } finally {
    enough.abort();
  }
  return null;
}

class WatchState implements Watched {
  readonly base: string;
  view: SystemView | null = null;
  history: readonly HistoryEntry[] = [];
  trouble: string | null = null;
  readonly #tables = new Map<string, TableStatus>();
  #historyEpoch = -1;

  constructor(base: string) {
    this.base = base;
  }

  get tables(): readonly TableStatus[] {
    return [...this.#tables.values()];
  }

  /** @returns false for an event of no interest, or while the other half of the first news is still to come */
  async take(event: ServerEvent, signal: AbortSignal): Promise<boolean> {
    this.trouble = null;
    if (event.name === 'tables') {
      const { all, tables } = JSON.parse(event.data) as TablesEvent;
      if (all) this.#tables.clear();
      for (const table of tables) this.#tables.set(tableKey(table), table);
      return true;
    }
    if (event.name !== 'system') return false;
    const view = JSON.parse(event.data) as SystemView;
    this.view = view;
    if (view.controller !== null && view.controller.epoch !== this.#historyEpoch) await this.#readHistory(view, signal);
    return this.#tables.size > 0 || view.tables.total === 0;
  }

  async #readHistory({ controller }: SystemView, signal: AbortSignal): Promise<void> {
    const url = new URL(`/api/system/history?limit=${HISTORY_ENTRIES}`, this.base);
    const either = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
    const answer = await fetch(url, { signal: either }).catch(() => null);
    if (!answer?.ok) return;
    this.history = (await answer.json()) as HistoryEntry[];
    this.#historyEpoch = controller?.epoch ?? -1;
  }
}
