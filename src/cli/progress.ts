/** Progress of a load: bars on a terminal, a line every few seconds elsewhere. */
import cliProgress from 'cli-progress';
import { displayName } from '../core/ident.js';
import type { TableStatus } from '../core/status.js';

export interface ProgressView {
  update(tables: readonly TableStatus[]): void;
  stop(): void;
}

const LINE_INTERVAL_MS = 3000;

export function createProgress(output: NodeJS.WriteStream, now: () => number, verb = 'Loaded'): ProgressView {
  return output.isTTY ? new Bars(output) : new Lines(output, now, verb);
}

class Bars implements ProgressView {
  readonly #multi: cliProgress.MultiBar;
  readonly #bars = new Map<string, cliProgress.SingleBar>();

  constructor(stream: NodeJS.WriteStream) {
    this.#multi = new cliProgress.MultiBar(
      {
        stream,
        clearOnComplete: false,
        hideCursor: true,
        format: '  {table} {bar} {percentage}% {value}/{total} rows, {speed} rows/s, {eta_formatted} left',
      },
      cliProgress.Presets.shades_classic,
    );
  }

  update(tables: readonly TableStatus[]): void {
    const width = Math.max(0, ...tables.map((table) => displayName(table).length));
    for (const table of tables) {
      const name = displayName(table);
      if (table.state === 'pending') continue;
      const total = Math.max(table.rowsExpected ?? 0, table.rowsLoaded, 1);
      const payload = { table: name.padEnd(width), speed: '…' };
      let bar = this.#bars.get(name);
      if (!bar) {
        bar = this.#multi.create(total, 0, payload);
        this.#bars.set(name, bar);
      }
      const done = table.state === 'streaming';
      bar.setTotal(done ? Math.max(table.rowsLoaded, 1) : total);
      bar.update(done ? Math.max(table.rowsLoaded, 1) : table.rowsLoaded, { ...payload, speed: speedOf(bar) });
    }
  }

  stop(): void {
    this.#multi.stop();
  }
}

/** cli-progress keeps the start time; rows a second follow from it. */
function speedOf(bar: cliProgress.SingleBar): string {
  const { value, startTime } = bar as unknown as { value: number; startTime: number };
  const seconds = (Date.now() - startTime) / 1000;
  return seconds > 0.2 ? Math.round(value / seconds).toLocaleString('en') : '…';
}

class Lines implements ProgressView {
  readonly #output: NodeJS.WriteStream;
  readonly #now: () => number;
  readonly #started: number;
  readonly #verb: string;
  #last = 0;

  constructor(output: NodeJS.WriteStream, now: () => number, verb: string) {
    this.#verb = verb;
    this.#output = output;
    this.#now = now;
    this.#started = now();
  }

  update(tables: readonly TableStatus[]): void {
    if (this.#now() - this.#last < LINE_INTERVAL_MS) return;
    this.#last = this.#now();
    const loading = tables.filter((table) => table.state === 'loading');
    const done = tables.filter((table) => table.state === 'streaming').length;
    const rows = tables.reduce((sum, table) => sum + table.rowsLoaded, 0);
    const expected = tables.reduce((sum, table) => sum + Math.max(table.rowsExpected ?? 0, table.rowsLoaded), 0);
    const perSecond = rows / Math.max(0.001, (this.#now() - this.#started) / 1000);
    const left = perSecond > 0 ? Math.ceil((expected - rows) / perSecond) : null;
    const current = loading
      .map((table) => `${displayName(table)} ${table.rowsLoaded}/${table.rowsExpected ?? '?'}`)
      .join(', ');
    this.#output.write(
      `${this.#verb} ${done} of ${tables.length} tables, ${rows} rows, ${Math.round(perSecond)} rows/s${left === null ? '' : `, about ${left} s left`}${current ? ` (${current})` : ''}\n`,
    );
  }

  stop(): void {
    // Nothing to restore on a plain stream.
  }
}
