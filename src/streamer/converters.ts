/** Text of a source value to text of a target value, for the few types that are not the same on both sides. */
import type { DialectName } from '../apply/dialect.js';
import type { ValueConverter } from '../pipeline/binding.js';
import { cockroachForm } from '../reconcile/cockroach-value.js';
import type { Conversion } from '../schema/mapped-type.js';

/** Without a target only what the conversion itself asks for. */
export function converterFor(
  conversion: Conversion,
  target?: { readonly dialect: DialectName; readonly typeName: string; readonly sqlType: string },
): ValueConverter | null {
  switch (conversion) {
    case 'money':
      return moneyToDecimal;
    case 'hstore':
      return hstoreToJson;
    default:
      return target?.dialect === 'cockroach' ? cockroachForm(conversion, target.typeName, target.sqlType) : null;
  }
}

/** `-$1,234.50` and `($1,234.50)` to `-1234.50`. Digits with a point as decimal separator: the session's lc_monetary is C's. */
export function moneyToDecimal(text: string): string {
  const negative = text.startsWith('-') || text.startsWith('(');
  const digits = text.replace(/[^0-9.]/g, '');
  return negative ? `-${digits}` : digits;
}

/** hstore's output form (`"a"=>"1", "b"=>NULL`) to a JSON object of strings and nulls. */
export function hstoreToJson(text: string): string {
  const object: Record<string, string | null> = Object.create(null);
  let at = 0;
  const take = (token: string): boolean => {
    if (!text.startsWith(token, at)) return false;
    at += token.length;
    return true;
  };
  const expect = (found: boolean): void => {
    if (!found) throw new RangeError(`Not hstore text at character ${at}`);
  };
  // By hand: a pattern for this overflows the stack on a value of megabytes.
  const quoted = (): string => {
    expect(take('"'));
    const pieces: string[] = [];
    let from = at;
    for (; text[at] !== '"'; at++) {
      expect(at < text.length);
      if (text[at] !== '\\') continue;
      pieces.push(text.slice(from, at));
      at += 1;
      from = at;
    }
    pieces.push(text.slice(from, at));
    at += 1;
    return pieces.join('');
  };
  while (at < text.length) {
    const key = quoted();
    expect(take('=>'));
    object[key] = take('NULL') ? null : quoted();
    expect(at === text.length || (take(', ') && at < text.length));
  }
  return JSON.stringify(object);
}
