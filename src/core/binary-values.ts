/**
 * Values in the binary form of their send functions, as the text of their output functions: who wants a value as everybody
 * else has it gets it, and who hands it on to a PostgreSQL needs not. Only types whose two forms are known here: a stream
 * that has others asks for text. PostgreSQL is the oracle of the property test for this file.
 */
import { isUtf8 } from 'node:buffer';
import { float4Text, float8Text, int8Text, numericText } from './binary-numbers.js';
import { clockText, dateText, timestampText, zoneText } from './binary-times.js';
import { DecodeError } from './errors.js';

/** The text of the value from `start` to `end`. Throws DecodeError. */
export type BinaryDecoder = (bytes: Buffer, start: number, end: number) => string;

const REPLACEMENT = '\uFFFD';
const JSONB_VERSION = 1;

/** Text as it is: also of enums, whose label is sent. */
export const textDecoder: BinaryDecoder = (bytes, start, end) => {
  const text = bytes.toString('utf8', start, end);
  if (text.includes(REPLACEMENT) && !isUtf8(bytes.subarray(start, end)))
    throw new DecodeError('A text in a binary value is not UTF-8.');
  return text;
};

function fixed(length: number, decode: (bytes: Buffer, at: number) => string): BinaryDecoder {
  return (bytes, start, end) => {
    if (end - start !== length)
      throw new DecodeError(`A binary value of ${length} bytes came with ${end - start} of them.`);
    return decode(bytes, start);
  };
}

const numeric: BinaryDecoder = (bytes, start, end) => {
  const text = numericText(bytes, start, end);
  if (text === null) throw new DecodeError(`A binary numeric has ${end - start} bytes, which is not what it says.`);
  return text;
};

const jsonb: BinaryDecoder = (bytes, start, end) => {
  if (bytes[start] !== JSONB_VERSION || end === start)
    throw new DecodeError(`A binary jsonb has the unknown version ${bytes[start]}.`);
  return textDecoder(bytes, start + 1, end);
};

function uuidText(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const microseconds = (bytes: Buffer, at: number) => Number(bytes.readBigInt64BE(at));

/** Type, its array's type, and how it is read: pg_type.dat. */
const BUILT_IN: ReadonlyArray<readonly [oid: number, array: number, decode: BinaryDecoder]> = [
  [16, 1000, fixed(1, (bytes, at) => (bytes[at] === 0 ? 'f' : 't'))],
  [17, 1001, (bytes, start, end) => `\\x${bytes.toString('hex', start, end)}`],
  [19, 1003, textDecoder],
  [20, 1016, fixed(8, int8Text)],
  [21, 1005, fixed(2, (bytes, at) => String(bytes.readInt16BE(at)))],
  [23, 1007, fixed(4, (bytes, at) => String(bytes.readInt32BE(at)))],
  [25, 1009, textDecoder],
  [26, 1028, fixed(4, (bytes, at) => String(bytes.readUInt32BE(at)))],
  [114, 199, textDecoder],
  [700, 1021, fixed(4, (bytes, at) => float4Text(bytes.readFloatBE(at)))],
  [701, 1022, fixed(8, (bytes, at) => float8Text(bytes.readDoubleBE(at)))],
  [1042, 1014, textDecoder],
  [1043, 1015, textDecoder],
  [1082, 1182, fixed(4, (bytes, at) => dateText(bytes.readInt32BE(at)))],
  [1083, 1183, fixed(8, (bytes, at) => clockText(microseconds(bytes, at)))],
  [1114, 1115, fixed(8, (bytes, at) => timestampText(bytes, at, ''))],
  [1184, 1185, fixed(8, (bytes, at) => timestampText(bytes, at, '+00'))],
  [1266, 1270, fixed(12, (bytes, at) => clockText(microseconds(bytes, at)) + zoneText(bytes.readInt32BE(at + 8)))],
  [1700, 1231, numeric],
  [2950, 2951, fixed(16, uuidText)],
  [3802, 3807, jsonb],
];

const FLOATS = new Set([700, 701, 1021, 1022]);

/** Equal floats may have another text here than there: in a key they would be two keys. */
export function isFloat(oid: number): boolean {
  return FLOATS.has(oid);
}

/** Of the types that every PostgreSQL has under these numbers. */
export const BUILT_IN_DECODERS: ReadonlyMap<number, BinaryDecoder> = new Map(
  BUILT_IN.flatMap(([oid, array, decode]) => [[oid, decode] as const, [array, arrayDecoder(decode)] as const]),
);

const MOST_DIMENSIONS = 6;
/** Space as array_isspace has it. */
const QUOTED = /["\\{},\t\n\v\f\r ]/;

/** PostgreSQL, arrayfuncs.c: array_send, and array_out for when an element is quoted. */
export function arrayDecoder(element: BinaryDecoder): BinaryDecoder {
  return (bytes, start, end) => {
    if (end - start < 12) throw new DecodeError('A binary array ends early.');
    const dimensions = bytes.readInt32BE(start);
    if (dimensions === 0) return '{}';
    let at = start + 12 + 8 * dimensions;
    if (dimensions < 0 || dimensions > MOST_DIMENSIONS || at > end)
      throw new DecodeError(`A binary array has ${dimensions} dimensions.`);
    const sizes: number[] = [];
    let bounds = '';
    let plain = true;
    let elements = 1;
    for (let i = 0; i < dimensions; i++) {
      const size = bytes.readInt32BE(start + 12 + 8 * i);
      const lower = bytes.readInt32BE(start + 16 + 8 * i);
      sizes.push(size);
      bounds += `[${lower}:${lower + size - 1}]`;
      plain &&= lower === 1;
      elements *= size;
      if (size < 1 || elements * 4 > end - at) throw new DecodeError('A binary array names more elements than it has.');
    }
    const next = (): string => {
      if (at + 4 > end) throw new DecodeError('A binary array ends early.');
      const length = bytes.readInt32BE(at);
      at += 4;
      if (length === -1) return 'NULL';
      if (length < 0 || at + length > end) throw new DecodeError('A binary array ends early.');
      const text = element(bytes, at, at + length);
      at += length;
      return quoted(text);
    };
    const level = (depth: number): string => {
      const parts: string[] = [];
      for (let i = 0; i < (sizes[depth] as number); i++) parts.push(depth + 1 < dimensions ? level(depth + 1) : next());
      return `{${parts.join(',')}}`;
    };
    const text = level(0);
    if (at !== end) throw new DecodeError('A binary array has bytes too many.');
    return plain ? text : `${bounds}=${text}`;
  };
}

function quoted(text: string): string {
  if (text !== '' && !QUOTED.test(text) && !(text.length === 4 && text.toUpperCase() === 'NULL')) return text;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}
