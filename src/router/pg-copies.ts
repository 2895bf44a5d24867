import { createRequire } from 'node:module';
import { join } from 'node:path';

/**
 * Two copies of pg in one program are two classes `Pool`: a library that asks `instanceof` with the other copy takes a
 * router for something else, and builds a pool of its own or runs a transaction on two connections, silently. So it
 * is said aloud, once, at start-up.
 */
let warned = false;

export function warnOfSecondPg(): void {
  if (warned) return;
  const others = otherCopies();
  if (others.length === 0) return;
  warned = true;
  process.emitWarning(
    `Two copies of pg are in use: ${others.join(', ')} besides the one of @waybank/db-redundancy. ` +
      'A library that uses the other copy does not recognise a RouterPool.',
    {
      type: 'DbRedundancyWarning',
      code: 'DB_REDUNDANCY_SECOND_PG',
      detail: 'Let both resolve to one version: npm dedupe, or "overrides": { "pg": "$pg" } in package.json.',
    },
  );
}

/** Other copies that are loaded, or that the application's own folder would load. */
export function otherCopies(from: string = process.cwd()): string[] {
  const require = createRequire(import.meta.url);
  const own = resolved(require);
  if (own === null) return [];
  const found = Object.keys(require.cache).filter((path) =>
    /[\\/]node_modules[\\/]pg[\\/]lib[\\/]index\.js$/.test(path),
  );
  const theirs = resolved(createRequire(join(from, 'package.json')));
  if (theirs !== null) found.push(theirs);
  return [...new Set(found)].filter((path) => path !== own);
}

/** Null where there are no modules to resolve, as in a bundle. */
function resolved(require: NodeJS.Require): string | null {
  try {
    return require.resolve('pg');
  } catch {
    return null;
  }
}
