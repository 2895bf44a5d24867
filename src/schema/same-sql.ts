/** Compares SQL texts that two servers, or a server and the translation, write differently. */
import { tokenize } from './expression-tokens.js';

/** `"public"."status"[]` and `public.status[]`; `DECIMAL(19,2)` and `DECIMAL(19, 2)`; a leading database name is ignored. */
export function sameType(a: string, b: string): boolean {
  return canonicalType(a) === canonicalType(b);
}

function canonicalType(text: string): string {
  const parts = text
    .trim()
    .match(/"(?:[^"]|"")*"|[^."]+/g)
    ?.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part));
  if (!parts) return text;
  const suffix = /(\(.*\))?(\[\])*$/.exec(parts.at(-1) ?? '')?.[0] ?? '';
  if (parts.length > 1 && suffix === parts.at(-1)) parts.splice(-2, 2, `${parts.at(-2)}${suffix}`);
  const named = parts.slice(-2);
  const qualified = named.length > 1;
  return JSON.stringify(qualified ? named : named.map((part) => part.toLowerCase().replaceAll(', ', ',')));
}

/** Blind to spaces and parentheses, in which versions of PostgreSQL differ. */
export function sameExpression(a: string, b: string): boolean {
  return bare(a) === bare(b);
}

function bare(expression: string): string {
  return tokenize(expression)
    .filter((token) => token.kind !== 'space' && token.text !== '(' && token.text !== ')')
    .map((token) => token.text)
    .join(' ');
}
