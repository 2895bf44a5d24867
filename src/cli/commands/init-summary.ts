/** What `init-secondary` prints at its end. */
import { displayName } from '../../core/ident.js';
import type { StreamSnapshot } from '../../core/status.js';
import { colorsFor } from '../../log/colors.js';
import type { CountResult } from '../../streamer/count-check.js';
import type { SchemaReport } from '../../streamer/schema-service.js';

export interface InitOutcome {
  readonly report: SchemaReport | null;
  readonly snapshot: StreamSnapshot;
  readonly counts: readonly CountResult[];
  readonly seconds: number;
}

export function printInitSummary(outcome: InitOutcome, form: 'text' | 'json', output: NodeJS.WriteStream): void {
  const { counts, report, seconds, snapshot } = outcome;
  const deviations = report?.deviations ?? [];
  if (form === 'json') {
    const document = { tables: snapshot.tables, counts, created: report?.created ?? [], deviations, seconds };
    output.write(`${JSON.stringify(document, null, 2)}\n`);
    return;
  }
  const color = colorsFor(output);
  const width = Math.max(5, ...counts.map((count) => displayName(count).length));
  const lines = counts.map((count) => {
    const same = count.primary === count.secondary;
    const mark = same ? color.green('✓') : color.red('✗');
    const detail = same
      ? `${count.primary} rows`
      : `${count.primary} rows on the primary, ${count.secondary} on the secondary`;
    return `  ${mark} ${displayName(count).padEnd(width)}  ${detail}`;
  });
  for (const table of snapshot.tables.filter((each) => each.state === 'paused')) {
    lines.push(`  ${color.red('✗')} ${displayName(table).padEnd(width)}  paused: ${table.reason ?? ''}`);
  }
  const rows = counts.reduce((sum, count) => sum + count.secondary, 0);
  output.write(
    `\nSecondary is ready: ${counts.length} tables, ${rows} rows, ${seconds.toFixed(1)} s\n${lines.join('\n')}\n`,
  );
  if (deviations.length > 0) {
    output.write(
      `\nNot the same on the secondary (${deviations.length}):\n${deviations.map((each) => `  - ${each}`).join('\n')}\n`,
    );
  }
  output.write('\nNext: run `npm run db:serve` (or `db-redundancy serve`) and keep it running.\n');
}
