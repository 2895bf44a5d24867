/** Whether a column's change of type keeps every value as it is, so that the secondary can follow it by itself. */

interface ParsedType {
  readonly name: string;
  readonly size: readonly number[];
}

/** `numeric(12,2)`, `timestamp(3) without time zone`, `character varying(20)`: name without size, and size. */
function parse(display: string): ParsedType {
  const match = /\((\d+)(?:,(-?\d+))?\)/.exec(display);
  if (!match) return { name: display, size: [] };
  const size = [match[1], match[2]].flatMap((part) => (part === undefined ? [] : [Number(part)]));
  return { name: display.replace(match[0], ''), size };
}

const INTEGERS = ['smallint', 'integer', 'bigint'];
/** Types whose size is only an upper bound. Not `character(n)` and `bit(n)`, which pad. */
const BOUNDED = new Set([
  'character varying',
  'bit varying',
  'time without time zone',
  'time with time zone',
  'timestamp without time zone',
  'timestamp with time zone',
]);

/**
 * A safe change keeps each value and its text. `real` to `double precision` is not: 0.1 becomes 0.10000000149. An
 * ALTER with a USING clause that changes values cannot be told from one without: `verify` finds it.
 * @param from and `to` as `format_type` prints them.
 */
export function isSafeRetype(from: string, to: string): boolean {
  const a = parse(from);
  const b = parse(to);
  if (a.size.length === 0 && b.size.length === 0) {
    if (INTEGERS.includes(a.name) && INTEGERS.includes(b.name))
      return INTEGERS.indexOf(a.name) <= INTEGERS.indexOf(b.name);
    return a.name === b.name || (isText(a.name) && isText(b.name));
  }
  if (a.name === 'character varying' && isText(b.name) && b.size.length === 0) return true;
  if (a.name !== b.name) return false;
  if (a.name === 'numeric') return widerNumeric(a.size, b.size);
  return BOUNDED.has(a.name) && atLeast(b.size[0], a.size[0]);
}

function isText(name: string): boolean {
  return name === 'text' || name === 'character varying';
}

/** No size is no bound. */
function atLeast(to: number | undefined, from: number | undefined): boolean {
  return to === undefined || (from !== undefined && to >= from);
}

/** As many digits before the point and after it; without a size there is no bound on either. */
function widerNumeric(from: readonly number[], to: readonly number[]): boolean {
  const [toPrecision, toScale = 0] = to;
  const [fromPrecision, fromScale = 0] = from;
  if (toPrecision === undefined) return true;
  if (fromPrecision === undefined) return false;
  return toScale >= fromScale && toPrecision - toScale >= fromPrecision - fromScale;
}
