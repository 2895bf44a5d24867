/** What `verify` shows: a bar while it works (a line a table elsewhere), and what differs in the end. */
import cliProgress from 'cli-progress';
import { displayName } from '../core/ident.js';
import { colorsFor } from '../log/colors.js';
import { type DifferenceKind, isEqual } from '../reconcile/outcome.js';
import type { StoredVerify } from '../reconcile/results-store.js';

export interface VerifyProgress {
  /** @param done the tables that are done so far */
  update(done: readonly StoredVerify[]): void;
  /** Harmless when it is repeated. */
  stop(): void;
}

/** @param output null shows nothing */
export function createVerifyProgress(output: NodeJS.WriteStream | null, tables: number): VerifyProgress {
  if (output === null) return { update: () => undefined, stop: () => undefined };
  if (output.isTTY) return bar(output, tables);
  let shown = 0;
  return {
    update(done) {
      if (done.length > shown) output.write(`Verified ${done.length} of ${tables} tables\n`);
      shown = done.length;
    },
    stop: () => undefined,
  };
}

function bar(stream: NodeJS.WriteStream, tables: number): VerifyProgress {
  const format = '  Verify {bar} {value}/{total} tables, {rows} rows';
  const single = new cliProgress.SingleBar({ stream, format, hideCursor: true }, cliProgress.Presets.shades_classic);
  single.start(tables, 0, { rows: 0 });
  return {
    update(done) {
      single.update(done.length, { rows: done.reduce((sum, { rows }) => sum + rows, 0).toLocaleString('en') });
    },
    stop: () => single.stop(),
  };
}

const KINDS: readonly (readonly [DifferenceKind, string])[] = [
  ['missing', 'missing on the secondary'],
  ['extra', 'not on the primary'],
  ['different', 'different'],
];
const KEYS_SHOWN = 10;

export function printVerify(outcomes: readonly StoredVerify[], output: NodeJS.WriteStream): void {
  const color = colorsFor(output);
  const width = Math.max(0, ...outcomes.map((outcome) => displayName(outcome).length));
  const lines = outcomes.flatMap((outcome) => {
    const mark = isEqual(outcome) ? color.green('✓') : color.red('✗');
    return [`  ${mark} ${displayName(outcome).padEnd(width)}  ${describe(outcome)}`, ...keyLines(outcome)];
  });
  const total = (count: (outcome: StoredVerify) => number) => outcomes.reduce((sum, each) => sum + count(each), 0);
  const differing = total(({ different, extra, missing }) => different + extra + missing);
  const rows = total((outcome) => outcome.rows);
  const repaired = total((outcome) => outcome.repaired);
  output.write(
    `${lines.join('\n')}\nVerify completed: ${rows} rows in ${outcomes.length} tables, ${differing} differed, ${repaired} repaired\n`,
  );
}

function describe(outcome: StoredVerify): string {
  const { notCompared, repaired, rows, seconds, skipped, unsettled } = outcome;
  if (skipped !== null) return `not compared: ${skipped}`;
  const found = KINDS.filter(([kind]) => outcome[kind] > 0).map(([kind, text]) => `${outcome[kind]} ${text}`);
  const parts = [
    found.length === 0 ? 'equal' : found.join(', '),
    ...(found.length > 0 ? [`${repaired} repaired`] : []),
    ...(unsettled > 0 ? [`${unsettled} changed at every look`] : []),
    ...(notCompared.length > 0 ? [`not compared: ${notCompared.join('; ')}`] : []),
  ];
  return `${rows} rows in ${seconds.toFixed(1)} s, ${parts.join(', ')}`;
}

function keyLines(outcome: StoredVerify): string[] {
  return KINDS.filter(([kind]) => outcome.keys[kind].length > 0).map(([kind, text]) => {
    const keys = outcome.keys[kind];
    const shown = keys.slice(0, KEYS_SHOWN).map((key) => `(${key.join(', ')})`);
    const more =
      outcome[kind] > shown.length ? ` and ${outcome[kind] - shown.length} more (--json has up to 1,000)` : '';
    return `      ${text}: ${shown.join(', ')}${more}`;
  });
}
