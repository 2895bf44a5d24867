import type { Config } from '../config/config.js';
import { compareSides } from './compare.js';
import { inspectPrimary } from './primary.js';
import type { PreflightResult } from './result.js';
import { inspectSecondary } from './secondary.js';

/** All checks of both sides, in the order in which they are shown. Changes nothing and never throws. */
export async function runPreflight(
  config: Pick<Config, 'primary' | 'secondary' | 'tables' | 'stream'>,
): Promise<PreflightResult[]> {
  const [primary, secondary] = await Promise.all([inspectPrimary(config), inspectSecondary(config)]);
  const both = primary.identity && secondary.identity ? compareSides(primary.identity, secondary.identity) : [];
  return [...primary.results, ...secondary.results, ...both];
}
