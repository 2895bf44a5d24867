/**
 * Asks a server that is not PostgreSQL itself what it takes in PostgreSQL's binary form: versions differ, and what one
 * reads differently would be silently another value. A type counts when the server prints the same for values in binary
 * and for their texts.
 */
import type { ClientBase } from 'pg';
import { sqlstateOf } from '../core/policy.js';
import { arrayLiteral } from './array-literal.js';
import { SCALED_NUMERIC } from './binary-array.js';

/** Text, and what the type's send function makes of it: PostgreSQL is the oracle of the test for this table. */
export const BINARY_SAMPLES: Readonly<Record<string, { readonly oid: number; readonly values: [string, string][] }>> = {
  bool: {
    oid: 16,
    values: [
      ['t', '01'],
      ['f', '00'],
    ],
  },
  bytea: {
    oid: 17,
    values: [
      ['\\x', ''],
      ['\\x005c22ff', '005c22ff'],
    ],
  },
  int8: {
    oid: 20,
    values: [
      ['-9223372036854775808', '8000000000000000'],
      ['9223372036854775807', '7fffffffffffffff'],
    ],
  },
  int2: {
    oid: 21,
    values: [
      ['-32768', '8000'],
      ['32767', '7fff'],
    ],
  },
  int4: {
    oid: 23,
    values: [
      ['-2147483648', '80000000'],
      ['2147483647', '7fffffff'],
    ],
  },
  text: {
    oid: 25,
    values: [
      ['', ''],
      ['NULL', '4e554c4c'],
      ['"{\\,é\t', '227b5c2cc3a909'],
    ],
  },
  float8: {
    oid: 701,
    values: [
      ['1.5', '3ff8000000000000'],
      ['-0', '8000000000000000'],
      ['5e-324', '0000000000000001'],
      ['-Infinity', 'fff0000000000000'],
      ['NaN', '7ff8000000000000'],
    ],
  },
  date: {
    oid: 1082,
    values: [
      ['2000-01-01', '00000000'],
      ['1969-12-31', 'ffffd532'],
      ['0001-01-01', 'fff4dbf9'],
      ['9999-12-31', '002c95d3'],
      ['infinity', '7fffffff'],
      ['-infinity', '80000000'],
    ],
  },
  timestamp: {
    oid: 1114,
    values: [
      ['2000-01-01 00:00:00', '0000000000000000'],
      ['1999-12-31 23:59:59.999999', 'ffffffffffffffff'],
      ['0001-01-01 00:00:00', 'ff1fe2ffc59c6000'],
      ['200000-01-01 00:00:00.5', '56b6565e4a884120'],
    ],
  },
  timestamptz: {
    oid: 1184,
    values: [
      ['2000-01-01 00:00:00+00', '0000000000000000'],
      ['1999-12-31 23:59:59.999999+00', 'ffffffffffffffff'],
      ['0001-01-01 00:00:00+00', 'ff1fe2ffc59c6000'],
      ['200000-01-01 00:00:00.5+00', '56b6565e4a884120'],
    ],
  },
  // Without a zero at the end, which is another matter (SCALED_NUMERIC).
  numeric: {
    oid: 1700,
    values: [
      ['-1234567.891', '0003000140000003007b11d722ce'],
      ['0.000012', '0001fffe0000000604b0'],
      ['10000000000000000.5', '0006000400000001000100000000000000001388'],
      ['NaN', '00000000c0000000'],
    ],
  },
  uuid: { oid: 2950, values: [['00112233-4455-6677-8899-aabbccddeeff', '00112233445566778899aabbccddeeff']] },
};

const NULL = Buffer.from([0xff, 0xff, 0xff, 0xff]);

function binaryArray(oid: number, values: readonly (Buffer | null)[]): Buffer {
  const header = [1, 1, oid, values.length, 1];
  const parts = values.flatMap((value) => (value === null ? [NULL] : [int4(value.length), value]));
  return Buffer.concat([...header.map(int4), ...parts]);
}

function int4(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** What servers of a version have answered: it is asked once. */
const answers = new Map<string, ReadonlySet<string>>();

/**
 * Rejects when the connection is lost; a server that refuses the question takes nothing in binary.
 * @param version as `SELECT version()` has it
 */
export async function takenInBinary(
  client: ClientBase,
  version: string,
  timeoutMs: number,
): Promise<ReadonlySet<string>> {
  const known = answers.get(version);
  if (known) return known;
  const types = Object.entries(BINARY_SAMPLES);
  const fields = types.map(([type], i) => `$${2 * i + 1}::${type}[]::text = $${2 * i + 2}::${type}[]::text AS ${type}`);
  const values = types.flatMap(([, { oid, values }]) => [
    binaryArray(oid, [...values.map(([, hex]) => Buffer.from(hex, 'hex')), null]),
    arrayLiteral([...values.map(([text]) => [text]), [null]], 0, 'quoted'),
  ]);
  try {
    const question = { text: `SELECT ${fields.join(', ')}`, values, query_timeout: timeoutMs };
    const { rows } = await client.query<Record<string, unknown>>(question);
    const same = types.flatMap(([type]) => (isTrue(rows[0]?.[type]) ? [type] : []));
    const taken = new Set(same.map((type) => (type === 'numeric' ? SCALED_NUMERIC : type)));
    answers.set(version, taken);
    return taken;
  } catch (error) {
    if (sqlstateOf(error) === null) throw error;
    return new Set();
  }
}

/** Values may be raw text. */
const isTrue = (value: unknown): boolean => value === true || value === 't';
