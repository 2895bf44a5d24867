/**
 * Expressions for CockroachDB, by whitelist: what is not known to mean the same there is not created, and reported.
 * Left out on purpose: `/` and `%` (integer division differs), most regular expressions (another flavour), casts
 * between text and dates in computed columns (they depend on the session).
 */
import { quoteIdent, quoteLiteral, quoteTable } from '../core/ident.js';
import type { TargetCapabilities } from './capabilities.js';
import { type Token, tokenize, unquoted } from './expression-tokens.js';
import type { QualifiedName } from './model.js';

export interface ExpressionScope {
  readonly capabilities: TargetCapabilities;
  /** Columns that may be named. */
  readonly columns: ReadonlyMap<string, ScopeColumn>;
  /** lower() and upper() treat all letters alike on both sides, not only ASCII ones. */
  readonly unicodeCase: boolean;
  readonly enums: readonly QualifiedName[];
  readonly sequences: readonly QualifiedName[];
  /** What VALUE stands for in a domain's check. */
  readonly value?: string;
  /** Only what is immutable: for computed columns, index expressions and predicates. */
  readonly immutable: boolean;
}

export interface ScopeColumn {
  /** Its type means the same there: a column that is converted may not be named. */
  readonly same: boolean;
  /** Integer or decimal. */
  readonly arithmetic: boolean;
}

export type TranslatedExpression =
  | { readonly ok: true; readonly sql: string }
  | { readonly ok: false; readonly reason: string };

const KEYWORDS = new Set(
  (
    'AND OR NOT IS NULL TRUE FALSE UNKNOWN CASE WHEN THEN ELSE END IN ANY ALL ARRAY BETWEEN DISTINCT FROM COALESCE ' +
    'NULLIF GREATEST LEAST'
  ).split(' '),
);
const STABLE_KEYWORDS = new Set('CURRENT_DATE CURRENT_TIMESTAMP LOCALTIMESTAMP AT TIME ZONE'.split(' '));

const IMMUTABLE_FUNCTIONS = new Set(
  (
    'lower upper length char_length character_length octet_length btrim ltrim rtrim replace substr substring left right ' +
    'md5 abs ceil ceiling floor strpos starts_with jsonb_typeof array_length cardinality'
  ).split(' '),
);
const STABLE_FUNCTIONS = new Set(
  'now clock_timestamp statement_timestamp transaction_timestamp gen_random_uuid uuid_generate_v4 random timezone'.split(
    ' ',
  ),
);

/** Follow the database's locale in PostgreSQL, and Unicode in CockroachDB. */
const CASE_FOLDING = new Set(['lower', 'upper', '~~*', '!~~*', '~*', '!~*']);

/** Functions of extensions that CockroachDB has built in under the same name. */
const EXTENSION_FUNCTIONS = new Set(['uuid_generate_v4', 'gen_random_uuid']);

const OPERATORS: Readonly<Record<string, string>> = {
  ...Object.fromEntries('= <> < > <= >= + - * || -> ->> #> #>> @> <@ ?'.split(' ').map((name) => [name, name])),
  '~~': 'LIKE',
  '!~~': 'NOT LIKE',
  '~~*': 'ILIKE',
  '!~~*': 'NOT ILIKE',
};
const ARITHMETIC = new Set(['+', '-', '*']);
const REGULAR = new Set(['~', '!~', '~*', '!~*']);
/** No escapes but of punctuation, no groups with `?`, no dot (line ends), no named classes. */
const SHARED_REGEX =
  /^(?:[\w\s@%&=<>:;,#'"!~`/-]|[\u0080-\uffff]|\\[.+*?()[\]{}|^$/-]|[|^$*+{}]|\((?!\?)|\)|\?|\[\^?(?:[^\\[\]])+\])*$/;

const CAST_TYPES: Readonly<Record<string, string>> = {
  text: 'STRING',
  'character varying': 'VARCHAR',
  bpchar: 'STRING',
  character: 'CHAR',
  integer: 'INT4',
  bigint: 'INT8',
  smallint: 'INT2',
  numeric: 'DECIMAL',
  real: 'FLOAT4',
  'double precision': 'FLOAT8',
  boolean: 'BOOL',
  uuid: 'UUID',
  jsonb: 'JSONB',
  json: 'JSONB',
  bytea: 'BYTES',
  inet: 'INET',
};
const TIME_TYPES: Readonly<Record<string, string>> = {
  date: 'DATE',
  interval: 'INTERVAL',
  'time without time zone': 'TIME',
  'time with time zone': 'TIMETZ',
  'timestamp without time zone': 'TIMESTAMP',
  'timestamp with time zone': 'TIMESTAMPTZ',
};

class Refused extends Error {}

export function translateForCockroach(expression: string, scope: ExpressionScope): TranslatedExpression {
  try {
    return { ok: true, sql: translate(tokenize(expression), scope) };
  } catch (error) {
    if (error instanceof Refused) return { ok: false, reason: error.message };
    throw error;
  }
}

function translate(tokens: readonly Token[], scope: ExpressionScope): string {
  let out = '';
  if (!scope.unicodeCase && tokens.some((token) => CASE_FOLDING.has(token.text))) {
    throw new Refused('it folds letter case, which the locale of the primary does for ASCII only');
  }
  const arithmetic = tokens.some((token) => token.kind === 'operator' && ARITHMETIC.has(token.text));
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    const sequence = nextvalAt(tokens, i, scope);
    if (sequence) {
      out += sequence.sql;
      i += sequence.length - 1;
    } else if (token.kind === 'name' && tokens[i + 1]?.text === '.' && tokens[i + 3]?.text === '(') {
      out += extensionFunction(tokens[i + 2] as Token, scope, token);
      i += 2;
    } else if (token.kind === 'name') out += name(token, tokens[i + 1], scope, arithmetic);
    else if (token.kind === 'keyword') out += keyword(token.text, scope);
    else if (token.kind === 'operator') out += operator(tokens, i);
    else if (token.kind === 'cast') out += cast(token.text.slice(2), scope);
    else if (token.kind === 'string' && !/^[E']/.test(token.text))
      throw new Refused(`it uses the constant ${token.text}`);
    else out += token.text;
  }
  return out;
}

/** `nextval('s.q'::regclass)`: the sequence is named as text, which CockroachDB binds to the sequence itself. */
function nextvalAt(
  tokens: readonly Token[],
  i: number,
  scope: ExpressionScope,
): { sql: string; length: number } | null {
  const [call, open, literal, type, close] = tokens.slice(i, i + 5);
  if (call?.text !== 'nextval' || open?.text !== '(' || type?.text !== '::regclass' || close?.text !== ')') return null;
  if (scope.immutable || literal?.kind !== 'string') return null;
  const printed = literalValue(literal.text);
  const sequence = scope.sequences.find((candidate) => printedName(candidate).includes(printed));
  if (!sequence) throw new Refused(`it draws from the sequence ${printed}, which is not replicated`);
  return { sql: `nextval(${quoteLiteral(quoteTable(sequence.schema, sequence.name)).trim()})`, length: 5 };
}

/** PostgreSQL quotes only where it must, and which words it must is not known here: both forms of each part. */
function printedName(sequence: QualifiedName): string[] {
  const schemas = [sequence.schema, quoteIdent(sequence.schema)];
  const namesOf = [sequence.name, quoteIdent(sequence.name)];
  return schemas.flatMap((schema) => namesOf.map((name) => `${schema}.${name}`));
}

function literalValue(text: string): string {
  const body = text.slice(text.indexOf("'") + 1, -1).replaceAll("''", "'");
  return text.startsWith('E') ? body.replaceAll('\\\\', '\\') : body;
}

function extensionFunction(token: Token, scope: ExpressionScope, schema: Token): string {
  const called = unquoted(token.text);
  if (EXTENSION_FUNCTIONS.has(called) && allowedFunction(called, scope)) return called;
  throw new Refused(`it calls ${unquoted(schema.text)}.${called}(), which the secondary does not have`);
}

function allowedFunction(called: string, scope: ExpressionScope): boolean {
  const known = IMMUTABLE_FUNCTIONS.has(called) || (!scope.immutable && STABLE_FUNCTIONS.has(called));
  return known && scope.capabilities.functions.has(called);
}

function name(token: Token, next: Token | undefined, scope: ExpressionScope, arithmetic: boolean): string {
  const plain = unquoted(token.text);
  if (next?.text === '(') {
    if (allowedFunction(plain, scope)) return plain;
    throw new Refused(`it calls ${plain}(), which is not known to be the same there`);
  }
  if (token.text === 'true' || token.text === 'false') return token.text;
  const column = scope.columns.get(plain);
  if (!column) throw new Refused(`it uses ${token.text}`);
  if (!column.same) throw new Refused(`it uses column ${plain}, which has another type there`);
  if (arithmetic && !column.arithmetic) throw new Refused(`it calculates with column ${plain}`);
  return quoteIdent(plain);
}

function keyword(text: string, scope: ExpressionScope): string {
  if (text === 'VALUE' && scope.value !== undefined) return quoteIdent(scope.value);
  if (KEYWORDS.has(text) || (!scope.immutable && STABLE_KEYWORDS.has(text))) return text;
  throw new Refused(`it uses ${text}`);
}

function operator(tokens: readonly Token[], i: number): string {
  const text = tokens[i]?.text ?? '';
  const same = OPERATORS[text];
  if (same !== undefined) return same;
  if (REGULAR.has(text)) {
    const pattern = tokens.slice(i + 1).find((token) => token.kind !== 'space');
    if (pattern?.kind === 'string' && SHARED_REGEX.test(literalValue(pattern.text))) return text;
    throw new Refused('it uses a regular expression, and the flavours differ');
  }
  throw new Refused(`it uses the operator ${text}`);
}

function cast(type: string, scope: ExpressionScope): string {
  const array = /(?:\[\])+$/.exec(type)?.[0] ?? '';
  const bare = type.slice(0, type.length - array.length);
  const size = /\([^()]*\)/.exec(bare)?.[0] ?? '';
  const base = bare.replace(size, '');
  if (array.length > 2) throw new Refused(`it uses the type ${type}`);
  const named = CAST_TYPES[base] ?? (scope.immutable ? undefined : TIME_TYPES[base]);
  if (named !== undefined) return `::${named}${size.replaceAll(' ', '')}${array}`;
  const parts = splitName(base);
  const user = scope.enums.find((candidate) => candidate.schema === parts[0] && candidate.name === parts[1]);
  if (user) return `::${quoteTable(user.schema, user.name)}${array}`;
  throw new Refused(`it uses the type ${type}`);
}

function splitName(text: string): string[] {
  return [...text.matchAll(/"(?:[^"]|"")+"|[^."]+/g)].map((match) => unquoted(match[0]));
}
