/** The table that a person reads, and the JSON that a program does. Pure. */
import type { colorsFor } from '../log/colors.js';
import { aimText, type Figure, judge, type Skipped, shortNumber } from './figures.js';

export interface MachineFacts {
  readonly cores: number;
  readonly processor: string;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  /** Processes that wanted a core, over the last minute: before the first workload and after the last. */
  readonly loadBefore: number;
  readonly loadAfter: number;
}

export interface ServerFacts {
  /** Own servers of this run, or those that were named. */
  readonly embedded: boolean;
  readonly primary: string;
  readonly secondary: string;
  readonly cockroach: string | null;
}

export interface BenchResult {
  readonly startedAt: string;
  readonly turns: number;
  /** Share of the full data. */
  readonly size: number;
  readonly machine: MachineFacts;
  readonly servers: ServerFacts;
  readonly figures: readonly Figure[];
  readonly skipped: readonly Skipped[];
}

/** The file's content: every turn, and what was made of them. */
export function toJson(result: BenchResult): string {
  const figures = result.figures.map((figure) => ({ ...figure, result: judge(figure) }));
  return `${JSON.stringify({ ...result, figures }, null, 2)}\n`;
}

type Colors = ReturnType<typeof colorsFor>;

const HEAD = ['', 'workload', 'ours', 'against', 'theirs', 'ratio', 'aim', ''];

/** @param judged false where there was too little data to say whether an aim was met */
export function tableLines(
  figures: readonly Figure[],
  skipped: readonly Skipped[],
  color: Colors,
  judged = true,
): string[] {
  const rows = figures.map((figure) => {
    const { met, ours, ratio, theirs } = judge(figure);
    const word = met === null || !judged ? '' : met ? 'met' : 'missed';
    return [
      figure.id,
      figure.workload,
      `${shortNumber(ours)} ${figure.unit}`,
      figure.opponent ?? '-',
      theirs === null ? '-' : shortNumber(theirs),
      ratio === null ? '-' : `${ratio.toFixed(2)} x`,
      aimText(figure.aim, figure.unit),
      word,
    ];
  });
  const widths = HEAD.map((head, i) => Math.max(head.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]) => cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ');
  const paint = (text: string, met: string) =>
    met === 'missed' ? color.yellow(text) : met === 'met' ? color.green(text) : text;
  return [
    color.bold(line(HEAD).trimEnd()),
    ...rows.map((row) => paint(line(row).trimEnd(), row.at(-1) ?? '')),
    ...(skipped.length > 0 ? ['', 'Skipped:'] : []),
    ...skipped.map(({ id, reason, workload }) => `${id}  ${workload}: ${reason}`),
  ];
}

/** The turns behind a figure, for the line that is printed as soon as it is known. */
export function figureLines(figure: Figure): string[] {
  const turns = (values: readonly number[]) => values.map(shortNumber).join(', ');
  const { ratio } = judge(figure);
  const against = figure.theirs === null ? '' : `; ${figure.opponent}: ${turns(figure.theirs)}`;
  return [
    `${figure.id} ${figure.workload}: ${turns(figure.ours)} ${figure.unit}${against}${ratio === null ? '' : `; ratio ${ratio.toFixed(2)}`}`,
    ...figure.notes.map((note) => `   ${note}`),
  ];
}
