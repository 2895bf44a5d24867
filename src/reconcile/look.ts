/**
 * Looks at given keys on both sides at one position of the stream: the primary's rows are read between two watermarks, the
 * secondary's at the second, while nothing is applied. A key that the stream changed in between says nothing and needs
 * nothing: it has just been written. So what is seen to differ here does differ, also on a live system.
 */
import { selectExpressionsSql } from '../apply/statements.js';
import type { Row } from '../core/change.js';
import type { TargetLink } from '../meta/target-link.js';
import { keyOf, project } from '../pipeline/binding.js';
import { keyIndexes, parameters, pick } from '../pipeline/compile.js';
import { inSnapshot, type Key } from '../snapshot/chunk-reader.js';
import { rowOfKey } from '../snapshot/load-table.js';
import type { WatermarkBoard } from '../snapshot/watermarks.js';
import type { SourcePool } from '../source/sql-pool.js';
import type { ComparedTable } from './compared-table.js';
import { readPrimaryRows } from './primary-rows.js';

export interface LookParts {
  readonly board: WatermarkBoard;
  readonly source: SourcePool;
  readonly link: TargetLink;
  readonly signal: AbortSignal;
}

export type Texts = readonly (string | null)[];

/** One key on both sides; null where there is no such row. */
export interface Seen {
  /** As it was asked for. */
  readonly key: Key;
  readonly primary: Texts | null;
  readonly secondary: Texts | null;
}

export interface LookOptions {
  /** Which side printed the keys. */
  readonly form: 'primary' | 'secondary';
  /** Expressions over the row `r`, by side. */
  readonly primary: readonly string[];
  readonly secondary: readonly string[];
  /** Texts for each key, for the primary's expressions: s.x0, s.x1 and so on. */
  readonly extra?: readonly Texts[];
}

export interface Looked {
  readonly seen: readonly Seen[];
  /** Keys that the stream knows in part only, at every look. */
  readonly busy: readonly Key[];
}

/** A key whose unchanged TOAST values keep it from being known wholly, look after look. */
const MOST_LOOKS = 20;

export async function look(
  parts: LookParts,
  table: ComparedTable,
  keys: readonly Key[],
  options: LookOptions,
): Promise<Looked> {
  const { board, signal, source } = parts;
  const { binding, chunk } = table.load;
  const seen: Seen[] = [];
  let rest = keys.map((key, i) => ({ key, extra: options.extra?.[i] ?? [] }));
  for (let looks = 0; rest.length > 0 && looks < MOST_LOOKS; ) {
    signal.throwIfAborted();
    const asked = rest;
    const outcome = await source.use((client) =>
      board.round(
        client,
        chunk.oid,
        () =>
          inSnapshot(client, chunk, async (snapshot) => {
            const texts = asked.map(({ key }) => key);
            const extra = asked.map((each) => each.extra);
            return { snapshot, rows: await readPrimaryRows(client, chunk, texts, options.primary, extra) };
          }),
        async ({ snapshot, rows }, window, commits) => {
          if (window.spoiled || commits.anyBefore(snapshot.running, window.openedAt)) return 'again' as const;
          const calm = rows.filter(({ own }) => !window.touched.has(keyOf(binding, projected(table, own))));
          const again = rows.filter(({ own }) => window.partial.has(keyOf(binding, projected(table, own))));
          const there = calm.map(({ id, own }) => targetKey(table, (asked[id] as Asked).key, own, options.form));
          // Thrown in here it would end the stream, whose affair it is not.
          return readSecondaryRows(parts.link, table, there, options.secondary).then(
            (theirs) => ({ calm, again, theirs }),
            (error: unknown) => ({ error }),
          );
        },
      ),
    );
    if (outcome === 'again') continue;
    if ('error' in outcome) throw outcome.error;
    outcome.calm.forEach(({ id, values }, i) => {
      seen.push({ key: (asked[id] as Asked).key, primary: values, secondary: outcome.theirs[i] ?? null });
    });
    rest = outcome.again.map(({ id }) => asked[id] as Asked);
    looks += 1;
  }
  return { seen, busy: rest.map(({ key }) => key) };
}

interface Asked {
  readonly key: Key;
  readonly extra: Texts;
}

function projected(table: ComparedTable, own: Key): Row {
  const { binding } = table.load;
  return project(binding, rowOfKey(binding, own));
}

/** The key as a row of the binding, in the secondary's form. */
function targetKey(table: ComparedTable, asked: Key, own: Key, form: LookOptions['form']): Row {
  return form === 'primary' ? projected(table, own) : rowOfKey(table.load.binding, asked);
}

/** Values of the expressions for each of `keys` (rows of the binding), null where there is no row. */
export async function readSecondaryRows(
  link: TargetLink,
  table: ComparedTable,
  keys: readonly Row[],
  expressions: readonly string[],
): Promise<(Texts | null)[]> {
  const found = new Array<Texts | null>(keys.length).fill(null);
  if (keys.length === 0) return found;
  const { binding } = table.load;
  const key = keyIndexes(binding);
  const { rows } = await link.run(selectExpressionsSql(binding.target, pick(binding, key), expressions), [
    `{${keys.map((_, i) => i).join(',')}}`,
    ...parameters(binding, key, keys),
  ]);
  for (const row of rows) found[Number(row.id)] = expressions.map((_, i) => row[`v${i}`] ?? null);
  return found;
}
