/**
 * JSON taken apart without being understood: members and elements keep the text that the server sent, so that no digit
 * of a DECIMAL or INT8 passes through a floating-point number (JSON.parse would round them). Only the outer level is
 * looked at; what is nested is passed over by its brackets.
 */

/** Member name to the member's text. @throws SyntaxError when the text is not one object. */
export function objectMembers(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = expect(text, skipSpace(text, 0), '{');
  if (text[at] === '}') return finish(text, at + 1, members);
  for (;;) {
    const nameEnd = endOfString(text, at);
    const name: unknown = JSON.parse(text.slice(at, nameEnd));
    at = expect(text, skipSpace(text, nameEnd), ':');
    const end = endOfValue(text, at);
    members.set(name as string, text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === '}') return finish(text, at + 1, members);
    at = expect(text, at, ',');
  }
}

/** The text of each element. @throws SyntaxError when the text is not one array. */
export function arrayElements(text: string): string[] {
  const elements: string[] = [];
  let at = expect(text, skipSpace(text, 0), '[');
  if (text[at] === ']') return finish(text, at + 1, elements);
  for (;;) {
    const end = endOfValue(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text[at] === ']') return finish(text, at + 1, elements);
    at = expect(text, at, ',');
  }
}

/** Position behind the value that starts at `at`. */
function endOfValue(text: string, at: number): number {
  const first = text[at];
  if (first === '"') return endOfString(text, at);
  if (first === '{' || first === '[') return endOfNested(text, at);
  let end = at;
  while (end < text.length && !isDelimiter(text.charCodeAt(end))) end++;
  if (end === at) throw new SyntaxError(`No JSON value at position ${at}`);
  return end;
}

function endOfString(text: string, at: number): number {
  if (text[at] !== '"') throw new SyntaxError(`No JSON string at position ${at}`);
  for (let from = at + 1; ; ) {
    const quote = text.indexOf('"', from);
    if (quote < 0) throw new SyntaxError(`The JSON string at position ${at} has no end`);
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

function endOfNested(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = endOfString(text, i) - 1;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') {
      depth--;
      if (depth === 0) return i + 1;
    }
  }
  throw new SyntaxError(`The JSON value at position ${at} has no end`);
}

/** Comma, closing brackets, white space. */
function isDelimiter(code: number): boolean {
  return code === 0x2c || code === 0x7d || code === 0x5d || isSpace(code);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

function skipSpace(text: string, at: number): number {
  let i = at;
  while (isSpace(text.charCodeAt(i))) i++;
  return i;
}

/** Position of what follows `char` and white space. */
function expect(text: string, at: number, char: string): number {
  if (text[at] !== char) throw new SyntaxError(`Expected ${char} at position ${at} of a JSON text`);
  return skipSpace(text, at + 1);
}

function finish<T>(text: string, at: number, result: T): T {
  if (skipSpace(text, at) !== text.length) throw new SyntaxError(`A JSON text goes on at position ${at}`);
  return result;
}
