import { createColors } from 'picocolors';
import { ConfigurationError } from '../core/errors.js';
import type { PreflightResult } from './result.js';

const HEADINGS: Readonly<Record<string, string>> = { primary: 'Primary', secondary: 'Secondary', both: 'Both' };
const sideOf = (result: PreflightResult) => HEADINGS[result.id.split('-')[0] ?? ''] ?? 'Other';

/** Side by side, one line a check: a tick, a cross or an exclamation mark; under it, the statement that mends it. */
export function formatPreflight(results: readonly PreflightResult[], options: { readonly color: boolean }): string {
  const colors = createColors(options.color);
  const lines = results.flatMap((result, index) => {
    const { ok, severity, title, detail, remedy } = result;
    const previous = results[index - 1];
    const heading = previous && sideOf(previous) === sideOf(result) ? [] : [colors.bold(sideOf(result))];
    const mark = ok ? colors.green('✓') : severity === 'error' ? colors.red('✗') : colors.yellow('!');
    const mend = ok || remedy === undefined ? [] : remedy.split('\n').map((line) => `      ${colors.cyan(line)}`);
    return [...heading, `  ${mark} ${title}: ${detail}`, ...mend];
  });
  const { errors, warnings } = summarize(results);
  const count = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`;
  const total = [count(results.length, 'check'), count(errors.length, 'error'), count(warnings.length, 'warning')];
  return [...lines, '', total.join(', ')].join('\n');
}

export function summarize(results: readonly PreflightResult[]): {
  readonly errors: readonly PreflightResult[];
  readonly warnings: readonly PreflightResult[];
} {
  const failed = results.filter((result) => !result.ok);
  return {
    errors: failed.filter((result) => result.severity === 'error'),
    warnings: failed.filter((result) => result.severity === 'warning'),
  };
}

/** Throws a ConfigurationError (exit code 2) that names all errors at once with their remedies. Warnings go by. */
export function assertPreflight(results: readonly PreflightResult[]): void {
  const { errors } = summarize(results);
  if (errors.length === 0) return;
  const lines = errors.map((error) => `  ${sideOf(error)}: ${error.title}: ${error.detail}`);
  const count = errors.length === 1 ? 'One check' : `${errors.length} checks`;
  throw new ConfigurationError([`${count} failed, nothing was created:`, ...lines].join('\n'), {
    code: 'preflight-failed',
    remedy: errors.flatMap(({ remedy }) => (remedy === undefined ? [] : [remedy])).join('\n'),
  });
}
