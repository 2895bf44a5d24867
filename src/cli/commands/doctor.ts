/** `doctor`: every check of both sides, with the statement that mends what is wrong. */
import { RedundancyError } from '../../core/errors.js';
import { formatPreflight, summarize } from '../../preflight/report.js';
import { runPreflight } from '../../preflight/run.js';
import type { Runtime } from '../runtime.js';

export async function doctor(
  runtime: Runtime,
  options: { readonly json?: boolean },
  output: NodeJS.WriteStream,
): Promise<void> {
  const results = await runPreflight(runtime.config);
  output.write(
    options.json
      ? `${JSON.stringify(results, null, 2)}\n`
      : `${formatPreflight(results, { color: output.isTTY === true })}\n`,
  );
  const { errors } = summarize(results);
  if (errors.length > 0) {
    throw new RedundancyError(`${errors.length} of ${results.length} checks failed.`, {
      code: 'doctor',
      remedy: 'Each line with a cross says what mends it.',
    });
  }
}
