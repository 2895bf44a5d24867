/**
 * Rows whose hashes differ although their values may not: CockroachDB keeps some numbers as an application wrote them
 * (1E+21), see canonical.ts. The primary is the judge: it reads the secondary's text back and compares values. The
 * secondary's row is read before and once more at the watermark, so that both sides speak of the same moment.
 */
import { keyOf, project } from '../pipeline/binding.js';
import type { Key } from '../snapshot/chunk-reader.js';
import { rowOfKey } from '../snapshot/load-table.js';
import { ROW_ALIAS } from './canonical.js';
import type { ComparedTable } from './compared-table.js';
import { type LookParts, look, readSecondaryRows, type Texts } from './look.js';

const KEYS_AT_ONCE = 200;
const MOST_TRIES = 5;

/** True when a hash of the table may differ for equal rows. */
export function isDoubtful(table: ComparedTable): boolean {
  return table.columns.some((column) => !column.exact);
}

/** Of keys (as the primary prints them) whose rows exist on both sides with different hashes, those that do differ. */
export async function reallyDifferent(
  parts: LookParts,
  table: ComparedTable,
  keys: readonly Key[],
): Promise<{ different: Key[]; busy: Key[] }> {
  const different: Key[] = [];
  const busy: Key[] = [];
  for (let i = 0; i < keys.length; i += KEYS_AT_ONCE) {
    let rest: readonly Key[] = keys.slice(i, i + KEYS_AT_ONCE);
    for (let tries = 0; rest.length > 0 && tries < MOST_TRIES; tries++) {
      const judged = await judge(parts, table, rest);
      different.push(...judged.different);
      rest = judged.again;
    }
    busy.push(...rest);
  }
  return { different, busy };
}

async function judge(parts: LookParts, table: ComparedTable, keys: readonly Key[]) {
  const { binding } = table.load;
  const values = table.columns.map(({ name }) => `${ROW_ALIAS}."${name.replaceAll('"', '""')}"`);
  const rows = keys.map((key) => project(binding, rowOfKey(binding, key)));
  const before = await readSecondaryRows(parts.link, table, rows, values);
  const byKey = new Map(keys.map((_, i) => [keyOf(binding, rows[i] as (typeof rows)[number]), before[i] ?? null]));
  const same = table.back.map((column, i) => column.same(`s.x${i}`)).join(' AND ');
  const different: Key[] = [];
  const again: Key[] = [];
  const readable: { key: Key; texts: Texts }[] = [];
  keys.forEach((key, i) => {
    const row = before[i];
    // Deleted meanwhile, by the stream: nothing to judge.
    if (!row) return;
    const texts = home(table, row);
    // A text that is none of the type's is a difference.
    if (texts) readable.push({ key, texts });
    else different.push(key);
  });
  const { seen, busy } = await look(
    parts,
    table,
    readable.map(({ key }) => key),
    { form: 'primary', primary: [same], secondary: values, extra: readable.map(({ texts }) => texts) },
  );
  for (const { key, primary, secondary } of seen) {
    const known = byKey.get(keyOf(binding, project(binding, rowOfKey(binding, key))));
    const unchanged = secondary !== null && known?.every((text, i) => text === secondary[i]);
    if (primary === null && secondary === null) continue;
    if (primary === null || secondary === null) different.push(key);
    else if (!unchanged) again.push(key);
    else if (primary[0] !== 't') different.push(key);
  }
  return { different, again: [...again, ...busy] };
}

/** The secondary's texts as the primary reads them; null when one is no text of its type. */
function home(table: ComparedTable, texts: Texts): Texts | null {
  try {
    return texts.map((text, i) => (text === null ? null : (table.back[i]?.text(text) ?? null)));
  } catch (error) {
    if (error instanceof RangeError || error instanceof SyntaxError) return null;
    throw error;
  }
}
