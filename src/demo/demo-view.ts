/**
 * What the demo prints. Written for somebody who sees the tool for the first time: whole words, units, and for each
 * number what it is of. On a terminal moving parts are drawn in place; elsewhere each is a line.
 */
import type { TableStatus } from '../core/status.js';
import { colorsFor } from '../log/colors.js';
import type { Comparison } from './compare-tables.js';
import { LiveBlock } from './live-block.js';
import type { Delays } from './probe.js';

/** One moment of the live phase. Rates are per second, over the time since the moment before. */
export interface Moment {
  readonly elapsedSeconds: number;
  /** The first of a phase. */
  readonly first: boolean;
  /** Null: until Ctrl-C. */
  readonly totalSeconds: number | null;
  readonly committed: number;
  readonly committedRate: number;
  readonly appliedRate: number;
  readonly rowsRate: number;
  /** Highest since the moment before. */
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly delays: Delays;
  readonly reads: number;
  readonly wrongReads: number;
  /** Of the stream, when it is not streaming: a sentence. */
  readonly trouble: string | null;
}

export interface Check {
  readonly passed: boolean;
  readonly text: string;
}

const BAR_WIDTH = 24;
const NAME_WIDTH = 22;
const LABEL_WIDTH = 10;

/** Widths of the columns on a plain stream, and what stands above them. */
const COLUMNS = [7, 10, 10, 8, 9, 10, 10, 10, 15];
const tableRow = (cells: readonly string[]) => cells.map((cell, i) => cell.padStart(COLUMNS[i] ?? 0)).join(' ');
const LIVE_HEADER = [
  ['', 'primary', 'standby', 'standby', 'behind', 'behind', 'delay', 'delay', 'reads with the'],
  ['time', 'trans./s', 'trans./s', 'rows/s', 'by time', 'by size', 'typical', '99% under', 'right total'],
]
  .map(tableRow)
  .join('\n');

export const count = (value: number) => Math.round(value).toLocaleString('en-US');
export const seconds = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} s`;
/** From the database's text, since a large sum does not fit a JS number. */
export const dollars = (text: string) => `$${text.replace(/\d(?=(\d{3})+\.)/g, '$&,')}`;
const milliseconds = (value: number | null) => (value === null ? '-' : `${value.toFixed(value < 10 ? 1 : 0)} ms`);

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  return bytes < 1 << 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

export class DemoView {
  readonly #output: NodeJS.WriteStream;
  readonly #color: ReturnType<typeof colorsFor>;
  /** Null where lines cannot be drawn again. */
  readonly #block: LiveBlock | null;
  readonly #loaded = new Set<string>();

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
    this.#color = colorsFor(output);
    this.#block = output.isTTY ? new LiveBlock(output) : null;
  }

  /** Whether moving parts are drawn in place. */
  get inPlace(): boolean {
    return this.#block !== null;
  }

  title(text: string, ...explanation: string[]): void {
    this.#print([this.#color.bold(text), ...explanation]);
  }

  step(number: number, text: string, ...explanation: string[]): void {
    this.#print(['', this.#color.bold(`${number}. ${text}`), ...explanation.map((line) => `   ${line}`)]);
  }

  check({ passed, text }: Check): void {
    this.#print([`   ${passed ? this.#color.green('✓') : this.#color.red('✗')} ${text}`]);
  }

  /** A message of the stream, which comes when something is not as it should be. */
  message(line: string): void {
    this.#print([this.#color.yellow(line)]);
  }

  lines(...lines: string[]): void {
    this.#print(lines);
  }

  /** @param expected rows on the primary by table */
  loading(tables: readonly TableStatus[], expected: ReadonlyMap<string, number>): void {
    if (!this.#block) {
      for (const table of tables) {
        if (table.state !== 'streaming' || this.#loaded.has(table.name)) continue;
        this.#loaded.add(table.name);
        this.check({
          passed: true,
          text: `${table.name.padEnd(NAME_WIDTH)} ${count(table.rowsLoaded).padStart(7)} rows`,
        });
      }
      return;
    }
    const bars = tables.map((table) => {
      const total = Math.max(expected.get(table.name) ?? 0, table.rowsLoaded, 1);
      const done = table.state === 'streaming';
      const mark = done ? this.#color.green('✓') : ' ';
      const of = done ? `${count(table.rowsLoaded)} rows` : `${count(table.rowsLoaded)} of ${count(total)} rows`;
      return `   ${mark} ${table.name.padEnd(NAME_WIDTH)} ${this.#bar(done ? 1 : table.rowsLoaded / total)}  ${of}`;
    });
    this.#block.draw(bars);
  }

  live(moment: Moment): void {
    const { delays } = moment;
    if (!this.#block) {
      if (moment.first) this.#print([LIVE_HEADER]);
      const cells = [
        `${Math.round(moment.elapsedSeconds)} s`,
        count(moment.committedRate),
        count(moment.appliedRate),
        count(moment.rowsRate),
        `${moment.lagSeconds.toFixed(2)} s`,
        size(moment.lagBytes),
        milliseconds(delays.p50),
        milliseconds(delays.p99),
        `${count(moment.reads - moment.wrongReads)} of ${count(moment.reads)}`,
      ];
      this.#print([tableRow(cells) + (moment.trouble === null ? '' : `  ${moment.trouble}`)]);
      return;
    }
    const { bold, green, red, yellow } = this.#color;
    const row = (label: string, text: string) => `   ${label.padEnd(LABEL_WIDTH)} ${text}`;
    const reads =
      moment.wrongReads === 0
        ? `${green('✓')} ${count(moment.reads)} reads of the standby, and the total was right in every one`
        : `${red('✗')} ${moment.wrongReads} of ${count(moment.reads)} reads of the standby saw a wrong total`;
    const time =
      moment.totalSeconds === null
        ? `${Math.round(moment.elapsedSeconds)} s, until Ctrl-C`
        : `${this.#bar(moment.elapsedSeconds / moment.totalSeconds)}  ${Math.round(moment.elapsedSeconds)} of ${moment.totalSeconds} s`;
    this.#block.draw([
      row('time', time),
      row('primary', `${bold(count(moment.committedRate))} transactions/s, ${count(moment.committed)} so far`),
      row('standby', `${bold(count(moment.appliedRate))} transactions/s, ${count(moment.rowsRate)} rows/s written`),
      row('behind', `${bold(`${moment.lagSeconds.toFixed(2)} s`)}, ${size(moment.lagBytes)}`),
      row('delay', `${bold(milliseconds(delays.p50))} typical, 99% under ${milliseconds(delays.p99)}`),
      row('money', reads),
      ...(moment.trouble === null ? [] : [row('stream', yellow(moment.trouble))]),
    ]);
  }

  /** What is drawn in place stays as it is now. */
  settle(): void {
    this.#block?.finish();
  }

  comparison(tables: readonly Comparison[]): void {
    for (const table of tables) {
      const name = table.name.padEnd(NAME_WIDTH);
      const { primary, secondary } = table;
      const text = table.equal
        ? `${name} ${count(primary.rows).padStart(7)} rows, fingerprint ${primary.hash.slice(0, 8)} on both sides`
        : `${name} DIFFERS: primary ${count(primary.rows)} rows, ${primary.hash.slice(0, 8)}; standby ${count(secondary.rows)} rows, ${secondary.hash.slice(0, 8)}`;
      this.check({ passed: table.equal, text });
    }
  }

  next(title: string, entries: readonly (readonly [command: string, meaning: string])[]): void {
    this.#print(['', this.#color.bold(title)]);
    for (const [command, meaning] of entries) this.#print([`   ${this.#color.cyan(command)}`, `      ${meaning}`]);
  }

  #bar(share: number): string {
    const full = Math.round(BAR_WIDTH * Math.min(1, Math.max(0, share)));
    return this.#color.cyan('█'.repeat(full)) + this.#color.dim('░'.repeat(BAR_WIDTH - full));
  }

  #print(lines: readonly string[]): void {
    const text = lines.map((line) => `${line}\n`).join('');
    if (this.#block) this.#block.print(text);
    else this.#output.write(text);
  }
}
