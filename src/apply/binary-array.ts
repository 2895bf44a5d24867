/**
 * Columns of rows that came in binary as array parameters in binary: their elements are the bytes that came
 * (PostgreSQL, arrayfuncs.c: array_recv). One pass over the rows, whatever the number of columns. What a secondary does
 * not take so travels as text.
 */
import { type BinaryRow, endOf } from '../core/binary-row.js';
import { copyWords, FEW_BYTES, viewOf } from '../core/copy-words.js';
import { arrayLiteral } from './array-literal.js';
import type { TargetColumn } from './target-table.js';

/** Element types of `$n::T[]`, by the names that `target-table` gives them. */
const ELEMENT_OIDS: Readonly<Record<string, number>> = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  text: 25,
  oid: 26,
  float4: 700,
  float8: 701,
  date: 1082,
  time: 1083,
  timestamp: 1114,
  timestamptz: 1184,
  timetz: 1266,
  numeric: 1700,
  uuid: 2950,
  jsonb: 3802,
};
export const BINARY_ELEMENTS: ReadonlySet<string> = new Set(Object.keys(ELEMENT_OIDS));
/** Numerics of columns that have a scale: for who takes a numeric's value, and not the zeros at its end. */
export const SCALED_NUMERIC = 'numeric(p,s)';
/** Types whose bytes are those of a text. */
const TEXTUAL = new Set(['text', 'varchar', 'bpchar', 'json']);
const TIMES = new Set(['timestamp', 'timestamptz']);
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const JSONB_VERSION = 1;

/** Text of a value to the text that the secondary is given for it. */
type Converter = (text: string) => string;

const AS_TEXT = 0;
const AS_IT_IS = 1;
/** jsonb as a text: its bytes behind the version. */
const WITHOUT_VERSION = 2;
/** A timestamp with a converter, which changes nothing but infinity and its neighbours: those are handed on as text. */
const WITHIN_TIME = 3;
type Form = typeof AS_TEXT | typeof AS_IT_IS | typeof WITHOUT_VERSION | typeof WITHIN_TIME;

/** High words of the first and the last of PostgreSQL's timestamps; what has one of them is looked at as text. */
const EARLIEST_HIGH = -49_317;
const LATEST_HIGH = 2_147_483_483;

/** A row, and the texts of those of its values that are handed on as text. */
export interface WrittenRow {
  readonly row: BinaryRow;
  readonly texts: readonly (string | null)[];
}

/** How the rows of a table become the parameters of `statements.ts`: one for each column. */
export class ArrayPlan {
  readonly #columns: readonly TargetColumn[];
  readonly #converters: readonly (Converter | null)[] | null;
  readonly #forms: readonly Form[];
  readonly #oids: readonly number[];
  /** Columns that are always text. */
  readonly #texts: readonly number[];

  /**
   * @param taken element types that the secondary takes in binary
   * @param converters of the columns that are another text there; null: of none
   */
  constructor(
    columns: readonly TargetColumn[],
    taken: ReadonlySet<string>,
    converters: readonly (Converter | null)[] | null = null,
  ) {
    this.#columns = columns;
    this.#converters = converters;
    this.#forms = columns.map((column, i) => formOf(column, taken, converters?.[i] ?? null));
    this.#oids = columns.map(({ arrayType }) => ELEMENT_OIDS[arrayType] ?? 0);
    this.#texts = columns.map((_, i) => i).filter((i) => this.#forms[i] === AS_TEXT);
  }

  written(row: BinaryRow): WrittenRow {
    return { row, texts: this.#texts.length === 0 ? NONE : this.#texts.map((i) => this.#text(row, i)) };
  }

  parameters(rows: readonly WrittenRow[]): (Buffer | string)[] {
    // Those of this call: a column may turn out to be one for text.
    const forms = [...this.#forms];
    const sizes = sizesOf(rows, forms.length);
    // One buffer for all: with few rows for each of many tables, buffers would be most of the work.
    const starts: number[] = [];
    let size = 0;
    forms.forEach((form, i) => {
      starts.push(size);
      if (form !== AS_TEXT) size += HEADER_BYTES + (sizes[i] as number);
    });
    const out = Buffer.allocUnsafe(size);
    const view = viewOf(out);
    const ends = starts.map((start) => start + HEADER_BYTES);
    const nulls = new Array<boolean>(forms.length).fill(false);
    let source: Buffer | null = null;
    let from = view;
    for (const { row } of rows) {
      const { bytes } = row;
      if (bytes !== source) {
        source = bytes;
        from = viewOf(bytes);
      }
      let at = row.start;
      for (let i = 0; i < forms.length; i++) {
        const end = endOf(bytes, at);
        const form = forms[i];
        if (form !== AS_TEXT) {
          const isNull = bytes[at] === 0xff;
          const to = ends[i] as number;
          const skipped = form === WITHOUT_VERSION && !isNull ? 1 : 0;
          const length = end - at - skipped;
          if (length <= FEW_BYTES) copyWords(view, to, from, at + skipped, length);
          else bytes.copy(out, to, at + skipped, end);
          ends[i] = to + length;
          if (isNull) nulls[i] = true;
          else if (skipped > 0) {
            view.setInt32(to, length - LENGTH_BYTES);
            if (bytes[at + LENGTH_BYTES] !== JSONB_VERSION) forms[i] = AS_TEXT;
          } else if (form === WITHIN_TIME && isExtreme(from.getInt32(at + LENGTH_BYTES))) forms[i] = AS_TEXT;
        }
        at = end;
      }
    }
    return this.#columns.map(({ encoding }, i) => {
      if (forms[i] === AS_TEXT) return arrayLiteral(this.#textRows(rows, i), 0, encoding);
      const start = starts[i] as number;
      view.setInt32(start, 1);
      view.setInt32(start + 4, nulls[i] ? 1 : 0);
      view.setUint32(start + 8, this.#oids[i] as number);
      view.setInt32(start + 12, rows.length);
      view.setInt32(start + 16, 1);
      return out.subarray(start, ends[i]);
    });
  }

  /** The column as a row of one each. */
  #textRows(rows: readonly WrittenRow[], column: number): (string | null)[][] {
    const at = this.#texts.indexOf(column);
    return rows.map(({ row, texts }) => [at === -1 ? this.#text(row, column) : (texts[at] ?? null)]);
  }

  #text(row: BinaryRow, column: number): string | null {
    const text = row.text(column);
    const convert = this.#converters?.[column];
    return text === null || !convert ? text : convert(text);
  }
}

const NONE: readonly (string | null)[] = [];

function formOf(
  { arrayType, isEnum, sqlType, typeName }: TargetColumn,
  taken: ReadonlySet<string>,
  converter: Converter | null,
): Form {
  const scaled = arrayType === 'numeric' && sqlType.endsWith(')');
  if (!taken.has(arrayType) && !(scaled && taken.has(SCALED_NUMERIC))) return AS_TEXT;
  if (converter !== null) return TIMES.has(arrayType) ? WITHIN_TIME : AS_TEXT;
  if (arrayType !== 'text' || isEnum || TEXTUAL.has(typeName)) return AS_IT_IS;
  return typeName === 'jsonb' ? WITHOUT_VERSION : AS_TEXT;
}

function isExtreme(high: number): boolean {
  return high <= EARLIEST_HIGH || high >= LATEST_HIGH;
}

/** Bytes of each column, with the lengths of its values. */
function sizesOf(rows: readonly WrittenRow[], columns: number): number[] {
  const sizes = new Array<number>(columns).fill(0);
  for (const { row } of rows) {
    const { bytes } = row;
    let at = row.start;
    for (let i = 0; i < columns; i++) {
      const end = endOf(bytes, at);
      sizes[i] = (sizes[i] as number) + end - at;
      at = end;
    }
  }
  return sizes;
}
