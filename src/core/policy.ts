import { ConfigurationError, FencedError, RedundancyError, StreamHaltError, UnfitChangeError } from './errors.js';
import { CONNECTION_MESSAGES, NODE_CODES, type PolicyAction, SQLSTATE_CLASSES, SQLSTATES } from './policy-table.js';

export type { PolicyAction };

export interface Verdict {
  readonly action: PolicyAction;
  /** Five characters as the server sent them; null when the error did not come from a server. */
  readonly sqlstate: string | null;
  /** One sentence for the operator: what this usually means and what to do. Never holds data of the error. */
  readonly hint: string;
}

export const READ_ONLY = '25006';

const UNKNOWN_HINT = 'An error that is not known here; read the log line and report it.';

/**
 * Classifies anything that was thrown. It looks at the error itself, then at its causes; an SQLSTATE outranks a code
 * of Node, and that outranks a message. What is unknown halts, because retrying a defect for ever hides it.
 */
export function classify(error: unknown): Verdict {
  for (const link of chainOf(error)) {
    const verdict = classifyOne(link);
    if (verdict) return verdict;
  }
  const remedy = error instanceof RedundancyError ? error.remedy : undefined;
  return { action: 'halt', sqlstate: null, hint: remedy ?? UNKNOWN_HINT };
}

/** What a session was given when it began, it keeps, however that is mended: another one is needed. */
export function spoilsSession({ action, sqlstate }: Verdict): boolean {
  return action === 'reread-checkpoint' || sqlstate === READ_ONLY;
}

/** The SQLSTATE of an error or of the nearest of its causes; null when there is none. */
export function sqlstateOf(error: unknown): string | null {
  for (const link of chainOf(error)) {
    const code = stringField(link, 'code');
    if (code !== null && isSqlstate(code, link)) return code;
  }
  return null;
}

function classifyOne(error: object): Verdict | null {
  if (error instanceof FencedError || error instanceof StreamHaltError || error instanceof ConfigurationError) {
    return { action: 'halt', sqlstate: sqlstateOf(error), hint: error.remedy ?? error.message };
  }
  if (error instanceof UnfitChangeError)
    return { action: 'bisect', sqlstate: null, hint: error.remedy ?? error.message };
  const code = stringField(error, 'code');
  const message = stringField(error, 'message') ?? '';
  if (code !== null && isSqlstate(code, error)) {
    const rule =
      SQLSTATES.find((each) => each.sqlstate === code && (each.message === undefined || each.message.test(message))) ??
      SQLSTATE_CLASSES[code.slice(0, 2)];
    return { action: rule?.action ?? 'halt', sqlstate: code, hint: rule?.hint ?? UNKNOWN_HINT };
  }
  // A connect that fails has reached nothing; the same code on an open connection leaves the outcome unknown.
  const connecting = stringField(error, 'syscall') === 'connect';
  const rule =
    (code === null ? undefined : NODE_CODES[code]) ?? CONNECTION_MESSAGES.find((each) => each.message.test(message));
  if (!rule) return null;
  const action = connecting && rule.action === 'reread-checkpoint' ? 'retry' : rule.action;
  return { action, sqlstate: null, hint: rule.hint };
}

/** Five capitals or digits; Node's codes of five letters (EPIPE) have no severity beside them. */
function isSqlstate(code: string, error: object): boolean {
  if (!/^[0-9A-Z]{5}$/.test(code)) return false;
  return /^[0-9]/.test(code) || stringField(error, 'severity') !== null || !(code in NODE_CODES);
}

/** The error, its causes, and the members of an AggregateError, the outermost first; never more than ten. */
function chainOf(error: unknown): object[] {
  const chain: object[] = [];
  const queue: unknown[] = [error];
  while (queue.length > 0 && chain.length < 10) {
    const next = queue.shift();
    if (typeof next !== 'object' || next === null || chain.includes(next)) continue;
    chain.push(next);
    if ('cause' in next) queue.push(next.cause);
    if (next instanceof AggregateError) queue.push(...next.errors);
  }
  return chain;
}

function stringField(object: object, key: string): string | null {
  const value: unknown = Reflect.get(object, key);
  return typeof value === 'string' ? value : null;
}
