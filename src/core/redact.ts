import { REDACTED, Secret } from './secret.js';

/**
 * Takes secrets out of text that others wrote: a driver's message with the URL in it, a stack trace, a server's
 * detail line. A secret is found in every spelling that such text uses: as it is, percent-encoded in whole or in
 * part, JSON-escaped, with SQL quotes doubled, with `+` for a space.
 */
export type Redactor = (text: string) => string;

/**
 * Secrets shorter than this are replaced only where they stand alone between characters other than letters and
 * digits: replacing every `a` would leave no message readable and hide nothing.
 */
export const SHORTEST_FREE_SECRET = 4;

/** Credentials of a kind that is recognised without knowing the secret: URL user information, authorization headers. */
const URL_CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/[^\s/:@"']*:)([^\s/@"']+)(?=@)/gi;
const BEARER = /(\bauthorization["']?\s*[:=]\s*["']?bearer\s+)([\w~+/.=-]+)/gi;

/**
 * Builds a redactor for the given secrets. A secret that is a URL with a password in it counts for its password
 * too; a secret that is percent-encoded counts for its decoded form too. Empty strings and nulls are left out.
 */
export function createRedactor(secrets: Iterable<string | Secret | null | undefined>): Redactor {
  const patterns = [...collect(secrets)].map(patternOf);
  return (text) => maskRanges(text, rangesOf(text, patterns)).replace(URL_CREDENTIALS, mask).replace(BEARER, mask);
}

function mask(_match: string, before: string): string {
  return `${before}${REDACTED}`;
}

function collect(secrets: Iterable<string | Secret | null | undefined>): Set<string> {
  const found = new Set<string>();
  for (const secret of secrets) {
    const value = secret instanceof Secret ? secret.reveal() : secret;
    if (!value) continue;
    for (const part of [value, ...passwordsOf(value)]) {
      for (const form of [part, decoded(part)]) if (form !== '') found.add(form);
    }
  }
  return found;
}

function passwordsOf(value: string): string[] {
  if (!value.includes('://') || !URL.canParse(value)) return [];
  const url = new URL(value);
  return [url.password, url.searchParams.get('password') ?? '', url.searchParams.get('sslpassword') ?? ''];
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone % is part of the secret itself
  }
}

function patternOf(secret: string): RegExp {
  const body = Array.from(secret, spellingsOf).join('');
  const free = secret.length >= SHORTEST_FREE_SECRET;
  // Without the u flag: in its place between the halves of a surrogate pair the search would step back, for ever.
  return new RegExp(free ? body : `(?<!\\w)${body}(?!\\w)`, 'g');
}

/** One character of a secret in all the ways that text in a log or an error spells it, the longest first. */
function spellingsOf(char: string): string {
  const bytes = Buffer.from(char, 'utf8');
  const spellings = [Array.from(bytes, (byte) => `%${anyCase(byte.toString(16).padStart(2, '0'))}`).join('')];
  const units = char.split('').map((unit) => unit.charCodeAt(0).toString(16).padStart(4, '0'));
  spellings.push(units.map((unit) => `\\\\u${anyCase(unit)}`).join(''));
  const json = JSON.stringify(char).slice(1, -1);
  if (json !== char) spellings.push(escapeRegExp(json));
  if (char === "'") spellings.push("''");
  if (char === ' ') spellings.push('\\+');
  spellings.push(escapeRegExp(char));
  return `(?:${spellings.join('|')})`;
}

function anyCase(hex: string): string {
  return hex.replace(/[a-f]/g, (digit) => `[${digit}${digit.toUpperCase()}]`);
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

type Range = readonly [start: number, end: number];

/** All occurrences, overlapping ones too: of two secrets that overlap, no end may be left standing. */
function rangesOf(text: string, patterns: readonly RegExp[]): Range[] {
  const ranges: Range[] = [];
  for (const pattern of patterns) {
    pattern.lastIndex = 0;
    for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
      ranges.push([match.index, match.index + match[0].length]);
      pattern.lastIndex = match.index + 1;
    }
  }
  return ranges.sort((a, b) => a[0] - b[0]);
}

function maskRanges(text: string, ranges: readonly Range[]): string {
  if (ranges.length === 0) return text;
  let result = '';
  let done = 0;
  for (const [start, end] of ranges) {
    if (end <= done) continue;
    if (start >= done) result += text.slice(done, start) + REDACTED;
    done = end;
  }
  return result + text.slice(done);
}

/** Deepest nesting that is walked; what lies deeper is replaced by a mark, since it could not be checked. */
const DEEPEST = 8;

/** The same for a value made of plain objects and arrays, keys included. Values of other kinds are kept. */
export function redactDeep(value: unknown, redact: Redactor, depth = 0): unknown {
  if (typeof value === 'string') return redact(value);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  if (value instanceof Secret) return REDACTED;
  if (depth >= DEEPEST) return '[too deep]';
  if (Array.isArray(value)) return value.map((item) => redactDeep(item, redact, depth + 1));
  if (value instanceof URL) return redact(value.href);
  if (value instanceof Error) return redactDeep(plainError(value), redact, depth);
  if ('toJSON' in value && typeof value.toJSON === 'function') return redactDeep(value.toJSON(), redact, depth + 1);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [redact(key), redactDeep(item, redact, depth + 1)]),
  );
}

/** An error as an object for a log: what JSON.stringify leaves out, and what the driver added (code, detail, ...). */
function plainError(error: Error): Record<string, unknown> {
  return {
    ...error,
    type: error.name,
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined ? {} : { cause: error.cause }),
    ...(error instanceof AggregateError ? { errors: error.errors } : {}),
  };
}
