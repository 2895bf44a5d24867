/** Which functions an expression calls, and so whether and when it can be created on the secondary. */
import { quoteIdent } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { tokenize, unquoted } from './expression-tokens.js';
import { type CatalogModel, type FunctionModel, type QualifiedName, sameName } from './model.js';

export interface ExpressionUse {
  readonly builtIns: readonly string[];
  /** Functions outside `pg_catalog`. */
  readonly qualified: readonly QualifiedName[];
  /** Depends on the clock or on chance: a row that was accepted once may be refused when it is written again. */
  readonly unstable: boolean;
}

const CLOCK_FUNCTIONS = new Set([
  ...['now', 'clock_timestamp', 'statement_timestamp', 'transaction_timestamp', 'timeofday', 'random', 'age'],
  ...['gen_random_uuid', 'nextval', 'uuidv7'],
]);
const CLOCK_KEYWORDS =
  /^(CURRENT_(DATE|TIME|TIMESTAMP|USER|ROLE|CATALOG|SCHEMA)|LOCALTIME|LOCALTIMESTAMP|SESSION_USER)$/;

export function inspectExpression(expression: string): ExpressionUse {
  const tokens = tokenize(expression);
  const builtIns = new Set<string>();
  const qualified = new Map<string, QualifiedName>();
  let unstable = false;
  tokens.forEach((token, i) => {
    if (token.kind === 'keyword' && CLOCK_KEYWORDS.test(token.text)) unstable = true;
    if (token.kind !== 'name' || tokens[i + 1]?.text !== '(') return;
    const name = unquoted(token.text);
    const owner = tokens[i - 2];
    if (tokens[i - 1]?.text === '.' && owner?.kind === 'name') {
      const schema = unquoted(owner.text);
      qualified.set(JSON.stringify([schema, name]), { schema, name });
    } else {
      builtIns.add(name);
      if (CLOCK_FUNCTIONS.has(name)) unstable = true;
    }
  });
  return { builtIns: [...builtIns], qualified: [...qualified.values()], unstable };
}

/**
 * - `now`: create it with the table.
 * - `later`: it needs the user's functions, or it may refuse old rows: create it when the secondary is promoted,
 *   after `functions`.
 * - `never`: the secondary cannot have it; `reason` says why.
 */
export type Placement =
  | { readonly when: 'now'; readonly extensions: readonly string[] }
  | { readonly when: 'later'; readonly functions: readonly string[]; readonly reason: string }
  | { readonly when: 'never'; readonly reason: string };

/** For a PostgreSQL secondary. `unstableIsLater`: for checks, which judge old rows again. */
export function placeExpression(
  expression: string,
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  unstableIsLater = false,
): Placement {
  const use = inspectExpression(expression);
  const absent = use.builtIns.find((name) => !capabilities.functions.has(name));
  if (absent !== undefined) return { when: 'never', reason: `the secondary has no function ${absent}()` };
  const extensions: string[] = [];
  const functions: string[] = [];
  const called: string[] = [];
  for (const name of use.qualified) {
    const models = catalog.functions.filter((candidate) => sameName(candidate, name));
    const problem = acceptFunction(models, name, catalog, capabilities, extensions, functions);
    if (problem !== null) return { when: 'never', reason: problem };
    if (models.some((model) => model.extension === null)) called.push(`${name.schema}.${name.name}()`);
  }
  if (functions.length > 0) return { when: 'later', functions, reason: `it calls ${called.join(', ')}` };
  if (use.unstable && unstableIsLater) {
    return { when: 'later', functions: [], reason: 'it depends on the time at which it is evaluated' };
  }
  return { when: 'now', extensions };
}

function acceptFunction(
  models: readonly FunctionModel[],
  name: QualifiedName,
  catalog: CatalogModel,
  capabilities: TargetCapabilities,
  extensions: string[],
  functions: string[],
): string | null {
  const call = `${name.schema}.${name.name}()`;
  if (models.length === 0) return `the definition of ${call} is not known`;
  for (const model of models) {
    if (model.extension !== null) {
      const installed = capabilities.extensions.get(model.extension);
      if (installed === undefined) return `the secondary has no extension ${model.extension}, which has ${call}`;
      const here = catalog.extensions.find((extension) => extension.name === model.extension)?.schema;
      if (installed !== null && installed !== here) {
        return `the secondary has extension ${model.extension} in schema ${installed}, so it knows no ${call}`;
      }
      extensions.push(model.extension);
    } else if (!capabilities.userFunctions || model.definition === null) {
      return `it calls ${call}, which the secondary cannot have`;
    } else {
      functions.push(...functionStatements(model, model.definition, catalog));
    }
  }
  return null;
}

/** CREATE SCHEMA only where it is needed: it asks for a right even when the schema is there. */
export function functionStatements(model: FunctionModel, definition: string, catalog: CatalogModel): string[] {
  const present = model.schema === 'public' || catalog.schemas.includes(model.schema);
  const schema = present ? [] : [`CREATE SCHEMA IF NOT EXISTS ${quoteIdent(model.schema)}`];
  return [...schema, definition.trim()];
}
