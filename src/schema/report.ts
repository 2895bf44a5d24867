/** What differs on the secondary and why, for people and for programs. */
import { displayName } from '../core/ident.js';
import type { Conflict } from './diff-parts.js';
import type { Deviation, DeviationKind, PromotionKind, Translation } from './translation.js';

export interface DeviationReport {
  readonly secondary: { readonly dialect: string; readonly version: string };
  readonly tables: number;
  /** Sorted by object; one entry per fact. */
  readonly deviations: readonly Deviation[];
  readonly deviationsByKind: Readonly<Partial<Record<DeviationKind, number>>>;
  /** What waits for promotion. */
  readonly promotion: readonly { readonly table: string; readonly kind: PromotionKind; readonly name: string }[];
  readonly conflicts: readonly Omit<Conflict, 'table'>[];
}

export function buildReport(translation: Translation, conflicts: readonly Conflict[] = []): DeviationReport {
  const deviations = unique(translation.deviations);
  const byKind: Partial<Record<DeviationKind, number>> = {};
  for (const { kind } of deviations) byKind[kind] = (byKind[kind] ?? 0) + 1;
  return {
    secondary: { dialect: translation.dialect, version: translation.capabilities.version },
    tables: translation.schema.tables.length,
    deviations,
    deviationsByKind: byKind,
    promotion: translation.promotion.map(({ table, kind, name }) => ({ table: displayName(table), kind, name })),
    conflicts: conflicts.map(({ table: _, ...conflict }) => conflict),
  };
}

function unique(deviations: readonly Deviation[]): Deviation[] {
  const byText = new Map(deviations.map((deviation) => [JSON.stringify(deviation), deviation]));
  return [...byText.values()].sort((a, b) => compare(a.object, b.object) || compare(a.reason, b.reason));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Lines without colour: a heading, then one line per deviation, and conflicts with their remedies last. */
export function reportLines(report: DeviationReport): string[] {
  const { deviations, conflicts } = report;
  const lines =
    deviations.length === 0
      ? [`${count(report.tables, 'table')} translated; nothing differs on the secondary.`]
      : [
          `${count(report.tables, 'table')} translated; ${count(deviations.length, 'thing')} different on the secondary:`,
        ];
  for (const { object, kind, reason } of deviations) lines.push(`  ${object} [${kind}] ${reason}`);
  if (conflicts.length > 0)
    lines.push(`${count(conflicts.length, 'conflict')} on the secondary, to be mended by hand:`);
  for (const { object, kind, reason, remedy } of conflicts) {
    lines.push(`  ${object} [${kind}] ${reason}`);
    if (remedy !== null) lines.push(`    ${remedy};`);
  }
  return lines;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
