/**
 * Splits an expression as PostgreSQL's deparser prints it. That is a narrow dialect: keywords in upper case, names in
 * lower case or quoted, function names directly before their parenthesis, casts as `::type`. Joining the texts of all
 * tokens gives the expression back.
 */
export type TokenKind = 'space' | 'string' | 'name' | 'keyword' | 'number' | 'cast' | 'operator' | 'punctuation';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

const IDENT = String.raw`(?:"(?:[^"]|"")+"|[a-z_\u0080-\uffff][a-z0-9_$\u0080-\uffff]*)`;

const CAST_TYPE = [
  'double precision',
  'character varying',
  'bit varying',
  String.raw`(?:timestamp|time)(?:\(\d+\))? (?:with|without) time zone`,
  `interval(?: (?:year|month|day|hour|minute|second)(?: to (?:month|hour|minute|second))?)?`,
  String.raw`${IDENT}(?:\.${IDENT})?`,
].join('|');

const PATTERNS: readonly (readonly [TokenKind, RegExp])[] = [
  ['space', /\s+/y],
  ['string', /[EBXN]?'(?:[^']|'')*'/y],
  ['cast', new RegExp(String.raw`::(?:${CAST_TYPE})(?:\(\d+(?:, ?-?\d+)*\))?(?:\[\])*`, 'y')],
  ['number', /\d+(?:\.\d+)?(?:e[+-]?\d+)?/y],
  ['keyword', /[A-Z][A-Z_]*/y],
  ['name', new RegExp(IDENT, 'y')],
  ['operator', /[-+*/<>=~!@#%^&|`?]+/y],
  ['punctuation', /[()[\],.:;]/y],
];

/** An escape string may contain a quote after a backslash; the deparser doubles quotes, so that doubling is all. */
export function tokenize(expression: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < expression.length) {
    const token = nextToken(expression, at);
    tokens.push(token);
    at += token.text.length;
  }
  return tokens;
}

function nextToken(expression: string, at: number): Token {
  for (const [kind, pattern] of PATTERNS) {
    pattern.lastIndex = at;
    const match = pattern.exec(expression);
    if (match) return { kind, text: match[0] };
  }
  return { kind: 'punctuation', text: expression[at] ?? '' };
}

/** `"a ""b"""` and `a` as the plain name. */
export function unquoted(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1).replaceAll('""', '"') : text;
}
