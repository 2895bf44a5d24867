/**
 * Whether PostgreSQL reads an expression of CockroachDB, and in the same sense: a whitelist, as in the other direction
 * (schema/expression-cockroach). Left out on purpose: division, regular expressions, casts that depend on the session.
 */
import { SHARED_FUNCTIONS } from './cockroach-floor.js';
import { neutral } from './portable-sql.js';

/** In the first place also casts to types of the user, which stand in the file: enums. */
const TOKEN =
  /("(?:[^"]|"")*"|::(?:"(?:[^"]|"")*"|[a-z_]\w*)\.(?:"(?:[^"]|"")*"|[a-z_]\w*)(?:\[\])?)|([eE]?'(?:[^'\\]|''|\\.)*')|(::[A-Z][A-Z0-9]*(?:\(\d+(?:,\s*\d+)?\))?(?:\[\])?)|([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)|(\d+(?:\.\d+)?)|(<=|>=|<>|!=|\|\||->>|->|@>|<@|[=<>+*(),[\]-])|(\s+)/gsy;

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

/** The expression as both databases read it; null when it is not known to mean the same. */
export function sharedExpression(expression: string): string | null {
  const text = withParentheses(neutral(expression).replace(/\bcurrent_date\(\)/g, 'current_date'));
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    if (!match) return null;
    const [all, , , cast, word] = match;
    at += all.length;
    if (cast !== undefined && !CAST_TYPES.has(/[A-Z][A-Z0-9]*/.exec(cast)?.[0] ?? '')) return null;
    if (word !== undefined && text[at] === '(' && !known(word)) return null;
  }
  return text;
}

const ANY_ARRAY = /\b(ANY|ALL) (ARRAY\[(?:[^'\]]|'(?:[^'\\]|''|\\.)*')*\])/g;

/** CockroachDB prints `= ANY ARRAY[...]`, where PostgreSQL wants parentheses. */
function withParentheses(text: string): string {
  return text.replace(ANY_ARRAY, '$1 ($2)');
}

function known(word: string): boolean {
  const name = word.toLowerCase();
  return SHARED_FUNCTIONS.has(name) || WORDS.has(name) || BARE_TIME.test(name);
}
