/**
 * Whether PostgreSQL reads an expression of CockroachDB, and in the same sense: a whitelist, as in the other direction
 * (schema/expression-cockroach). Left out on purpose: division, regular expressions, casts that depend on the session.
 */
import { SHARED_FUNCTIONS } from './cockroach-floor.js';
import { neutral } from './portable-sql.js';

const TOKEN =
  /("(?:[^"]|"")*")|([eE]?'(?:[^'\\]|''|\\.)*')|(::[A-Z][A-Z0-9]*(?:\(\d+(?:,\s*\d+)?\))?(?:\[\])?)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(\d+(?:\.\d+)?)|(<=|>=|<>|!=|\|\||->>|->|@>|<@|[=<>+*(),[\]-])|(\s+)/gsy;

const CAST_TYPES = new Set(
  [
    'TEXT',
    'VARCHAR',
    'CHAR',
    'INT2',
    'INT4',
    'INT8',
    'DECIMAL',
    'FLOAT4',
    'FLOAT8',
    'BOOL',
    'UUID',
    'JSONB',
    'BYTEA',
  ].concat(['INET', 'DATE', 'TIMESTAMPTZ', 'TIMESTAMP', 'TIME', 'INTERVAL']),
);
/** Words that stand before a parenthesis and are no function. */
const WORDS = new Set(
  (
    'check and or not in is null between case when then else end coalesce nullif greatest least array any all like ilike ' +
    'asc desc where include btree gin using distinct from true false nulls first last'
  ).split(' '),
);
const BARE_TIME = /^current_date\b/;

export function portableExpression(expression: string): boolean {
  const text = neutral(expression).replace(/\bcurrent_date\(\)/g, 'current_date');
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) return false;
    const [all, , , cast, word] = match;
    at += all.length;
    if (cast !== undefined && !CAST_TYPES.has(/[A-Z][A-Z0-9]*/.exec(cast)?.[0] ?? '')) return false;
    if (word !== undefined && text[at] === '(' && !known(word)) return false;
  }
  return true;
}

function known(word: string): boolean {
  const name = word.toLowerCase();
  return SHARED_FUNCTIONS.has(name) || WORDS.has(name) || BARE_TIME.test(name);
}
