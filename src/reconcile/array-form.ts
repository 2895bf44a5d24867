/** One-dimensional arrays as text: taken apart, and put together with every element quoted. */

/**
 * The elements of a PostgreSQL array literal; null for one that has several dimensions, or does not count from 1.
 * @throws RangeError when the text is no array literal
 */
export function arrayElements(text: string): (string | null)[] | null {
  if (text.startsWith('[')) return null;
  if (!text.startsWith('{') || !text.endsWith('}')) throw new RangeError('Not the text of an array');
  const elements: (string | null)[] = [];
  let at = 1;
  while (at < text.length - 1) {
    if (text[at] === '{') return null;
    if (text[at] === '"') {
      const end = endOfQuoted(text, at);
      elements.push(text.slice(at + 1, end).replace(/\\(.)/gs, '$1'));
      at = end + 1;
    } else {
      const comma = text.indexOf(',', at);
      const end = comma < 0 ? text.length - 1 : comma;
      const bare = text.slice(at, end);
      elements.push(bare === 'NULL' ? null : bare);
      at = end;
    }
    if (at < text.length - 1 && text[at] !== ',') throw new RangeError('Not the text of an array');
    at += 1;
  }
  return elements;
}

/** Quoted throughout: a bare element loses leading and trailing Unicode white space on CockroachDB, and NBSP + NULL is a NULL. */
export function arrayText(elements: readonly (string | null)[]): string {
  return `{${elements.map((each) => (each === null ? 'NULL' : quoted(each))).join(',')}}`;
}

function quoted(text: string): string {
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function endOfQuoted(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at;
  }
  throw new RangeError('Not the text of an array');
}
