/**
 * What a text does to the transaction, as far as its first words tell. Asked only after a connection was lost or while
 * a hold lasts, never on the way of a query; and always beside the connection's own transaction status, which is what
 * counts. Where the text leaves a doubt, the answer is that it may have committed.
 */
export type StatementKind = 'begin' | 'commit' | 'rollback' | 'rollback-chain' | 'other';

/** Last status that the server reported: idle, in a transaction, in a failed transaction; null before the first. */
export type Status = 'I' | 'T' | 'E' | null;

/** The kinds of the statements of one text, in order; null when the text cannot be told apart. */
export function statementKinds(text: string): StatementKind[] | null {
  const statements = firstWords(text);
  return statements?.map(kindOf) ?? null;
}

/** A text that ends the transaction without keeping anything, and does nothing else. */
export function isPlainRollback(text: string | undefined): boolean {
  if (text === undefined || text.length > 1_000) return false;
  const kinds = statementKinds(text);
  return kinds?.length === 1 && kinds[0] === 'rollback';
}

/** Whether anything may have been kept when `text` was sent at this status and no answer came. */
export function mayHaveCommitted(status: Status, text: string | undefined): boolean {
  const kinds = text === undefined ? null : statementKinds(text);
  if (kinds === null) return true;
  let inTransaction = status !== 'I';
  // In a failed transaction COMMIT rolls back, and any other statement ends the whole text with an error.
  let failed = status === 'E';
  for (const kind of kinds) {
    if (kind === 'commit' && inTransaction && !failed) return true;
    if (kind === 'other' && failed) return false;
    if (kind === 'other' && !inTransaction) return true;
    if (kind === 'commit' || kind === 'rollback') inTransaction = false;
    if (kind === 'begin') inTransaction = true;
    if (kind !== 'begin') failed = false;
  }
  return false;
}

function kindOf(words: readonly string[]): StatementKind {
  const [first = '', second = ''] = words;
  const rest = words.slice(1);
  switch (first) {
    case 'BEGIN':
      return 'begin';
    case 'START':
      return second === 'TRANSACTION' ? 'begin' : 'other';
    case 'COMMIT':
    case 'END':
      return second === 'PREPARED' ? 'other' : 'commit';
    case 'PREPARE':
      return second === 'TRANSACTION' ? 'commit' : 'other';
    case 'RELEASE':
      // CockroachDB commits at the release of this one savepoint.
      return rest.includes('COCKROACH_RESTART') ? 'commit' : 'other';
    case 'ROLLBACK':
    case 'ABORT':
      if (second === 'PREPARED' || rest.includes('TO')) return 'other';
      return rest.includes('CHAIN') && !rest.includes('NO') ? 'rollback-chain' : 'rollback';
    default:
      return 'other';
  }
}

/** More words than any statement that ends a transaction has. */
const WORDS = 5;
const TOKEN =
  /\s+|--[^\n]*|\/\*|[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|"((?:[^"]|"")*)"|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|;|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|[^\s]/gy;

/** The first words of each statement in capitals; null when a comment or a string does not end. */
function firstWords(text: string): string[][] | null {
  const statements: string[][] = [];
  let words: string[] = [];
  TOKEN.lastIndex = 0;
  for (let match = TOKEN.exec(text); match !== null; match = TOKEN.exec(text)) {
    const token = match[0];
    if (token === ';') {
      if (words.length > 0) statements.push(words);
      words = [];
    } else if (token === '/*') {
      const end = endOfComment(text, TOKEN.lastIndex);
      if (end === -1) return null;
      TOKEN.lastIndex = end;
    } else if (token.length > 1 && token.startsWith('$')) {
      const end = text.indexOf(token, TOKEN.lastIndex);
      if (end === -1) return null;
      TOKEN.lastIndex = end + token.length;
      if (words.length < WORDS) words.push(token);
    } else if (token === "'" || token === '"') {
      return null;
    } else if (token.trim() !== '' && !token.startsWith('--') && words.length < WORDS) {
      words.push((match[1] ?? token).toUpperCase());
    }
  }
  if (words.length > 0) statements.push(words);
  return statements;
}

/** Comments nest. */
function endOfComment(text: string, from: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  for (let depth = 1, match = mark.exec(text); match !== null; match = mark.exec(text)) {
    depth += match[0] === '/*' ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return -1;
}
