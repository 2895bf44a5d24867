/** The pgoutput decoder: each message byte by byte, then as a whole against an encoder, cut and mutated (G9). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyText } from '../../src/apply/copy-query.js';
import type { Relation, RelationColumn, Value } from '../../src/core/change.js';
import { CopiedLine } from '../../src/core/copied-line.js';
import { DecodeError } from '../../src/core/errors.js';
import { RawInsert } from '../../src/core/raw-insert.js';
import { PgOutputDecoder, type PgOutputMessage, postgresTimeToMs } from '../../src/source/pgoutput.js';

/** Writes the messages of the manual's chapter "Logical Replication Message Formats", all numbers big-endian. */
class Bytes {
  readonly #parts: Buffer[] = [];

  u8(value: number | string): this {
    return this.#add(1, (b) => b.writeUInt8(typeof value === 'string' ? value.charCodeAt(0) : value));
  }
  u16(value: number): this {
    return this.#add(2, (b) => b.writeUInt16BE(value));
  }
  u32(value: number): this {
    return this.#add(4, (b) => b.writeUInt32BE(value >>> 0));
  }
  u64(value: bigint): this {
    return this.#add(8, (b) => b.writeBigUInt64BE(value));
  }
  i64(value: bigint): this {
    return this.#add(8, (b) => b.writeBigInt64BE(value));
  }
  text(value: string): this {
    const bytes = Buffer.from(value, 'utf8');
    this.#parts.push(bytes);
    return this;
  }
  name(value: string): this {
    return this.text(value).u8(0);
  }
  value(value: Value): this {
    if (value === null) return this.u8('n');
    if (value === undefined) return this.u8('u');
    return this.u8('t').u32(Buffer.byteLength(value)).text(value);
  }
  row(values: readonly Value[]): this {
    this.u16(values.length);
    for (const value of values) this.value(value);
    return this;
  }
  done(): Buffer {
    return Buffer.concat(this.#parts);
  }
  #add(size: number, write: (buffer: Buffer) => void): this {
    const buffer = Buffer.alloc(size);
    write(buffer);
    this.#parts.push(buffer);
    return this;
  }
}

const micros = (ms: number): bigint => BigInt(ms - 946_684_800_000) * 1000n;

function encodeRelation({ oid, schema, name, replicaIdentity, columns }: Relation): Buffer {
  const bytes = new Bytes().u8('R').u32(oid).name(schema).name(name).u8(replicaIdentity).u16(columns.length);
  for (const column of columns) {
    bytes
      .u8(column.isKey ? 1 : 0)
      .name(column.name)
      .u32(column.typeOid)
      .u32(column.typmod);
  }
  return bytes.done();
}

function encode(message: Exclude<PgOutputMessage, { kind: 'ignored' }>): Buffer {
  switch (message.kind) {
    case 'begin':
      return new Bytes().u8('B').u64(message.commitLsn).i64(micros(message.commitAtMs)).u32(message.xid).done();
    case 'commit':
      return new Bytes()
        .u8('C')
        .u8(0)
        .u64(message.commitLsn)
        .u64(message.endLsn)
        .i64(micros(message.commitAtMs))
        .done();
    case 'relation':
      return encodeRelation(message.relation);
    case 'message':
      return new Bytes()
        .u8('M')
        .u8(message.transactional ? 1 : 0)
        .u64(message.lsn)
        .name(message.prefix)
        .u32(Buffer.byteLength(message.content))
        .text(message.content)
        .done();
    case 'insert':
      return new Bytes().u8('I').u32(message.relation.oid).u8('N').row(message.row).done();
    case 'update': {
      const bytes = new Bytes().u8('U').u32(message.relation.oid);
      if (message.old) bytes.u8(message.oldIs === 'full' ? 'O' : 'K').row(message.old);
      return bytes.u8('N').row(message.row).done();
    }
    case 'delete':
      return new Bytes()
        .u8('D')
        .u32(message.relation.oid)
        .u8(message.oldIs === 'full' ? 'O' : 'K')
        .row(message.old)
        .done();
    case 'truncate': {
      const bytes = new Bytes().u8('T').u32(message.relations.length);
      bytes.u8((message.cascade ? 1 : 0) | (message.restartIdentity ? 2 : 0));
      for (const relation of message.relations) bytes.u32(relation.oid);
      return bytes.done();
    }
  }
}

const USERS: Relation = {
  oid: 16_390,
  schema: 'public',
  name: 'users',
  replicaIdentity: 'd',
  columns: [
    { name: 'id', typeOid: 23, typmod: -1, isKey: true },
    { name: 'mail', typeOid: 1043, typmod: 84, isKey: false },
  ],
};

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

function knowingUsers(): PgOutputDecoder {
  const decoder = new PgOutputDecoder();
  decoder.decode(encodeRelation(USERS));
  return decoder;
}

describe('every message, byte by byte', () => {
  const R =
    '52 00004006 7075626c696300 757365727300 64 0002 01 696400 00000017 ffffffff 00 6d61696c00 00000413 00000054';
  const cases: ReadonlyArray<readonly [what: string, bytes: string, message: PgOutputMessage]> = [
    [
      'B begin',
      '42 00000016b374d848 0002ec4c2e2f7640 fffffffe',
      {
        kind: 'begin',
        commitLsn: 0x16b374d848n,
        commitAtMs: postgresTimeToMs(0x2ec4c2e2f7640n),
        xid: 0xfffffffe,
      },
    ],
    [
      'C commit',
      '43 00 00000016b374d848 00000016b374d878 00000000000003e8',
      { kind: 'commit', commitLsn: 0x16b374d848n, endLsn: 0x16b374d878n, commitAtMs: 946_684_800_001 },
    ],
    ['I insert', '49 00004006 4e 0002 74 00000002 3137 6e', { kind: 'insert', relation: USERS, row: ['17', null] }],
    [
      'U update without an old tuple, with an unchanged TOAST value',
      '55 00004006 4e 0002 74 00000001 31 75',
      { kind: 'update', relation: USERS, old: null, oldIs: null, row: ['1', undefined] },
    ],
    [
      'U update with the old key',
      '55 00004006 4b 0002 74 00000001 31 6e 4e 0002 74 00000001 32 74 00000000',
      { kind: 'update', relation: USERS, old: ['1', null], oldIs: 'key', row: ['2', ''] },
    ],
    [
      'U update with the whole old row',
      '55 00004006 4f 0002 74 00000001 31 74 00000002 c3a9 4e 0002 74 00000001 31 75',
      { kind: 'update', relation: USERS, old: ['1', 'é'], oldIs: 'full', row: ['1', undefined] },
    ],
    [
      'D delete by key',
      '44 00004006 4b 0002 74 00000001 31 6e',
      { kind: 'delete', relation: USERS, old: ['1', null], oldIs: 'key' },
    ],
    [
      'D delete with the whole old row',
      '44 00004006 4f 0002 74 00000001 31 74 00000001 78',
      { kind: 'delete', relation: USERS, old: ['1', 'x'], oldIs: 'full' },
    ],
    [
      'T truncate with CASCADE',
      '54 00000001 01 00004006',
      { kind: 'truncate', relations: [USERS], cascade: true, restartIdentity: false },
    ],
    [
      'T truncate with RESTART IDENTITY',
      '54 00000002 02 00004006 00004006',
      { kind: 'truncate', relations: [USERS, USERS], cascade: false, restartIdentity: true },
    ],
    [
      'M transactional message',
      '4d 01 0000000000000001 6100 00000002 6263',
      { kind: 'message', transactional: true, lsn: 1n, prefix: 'a', content: 'bc' },
    ],
    [
      'M message outside transactions',
      '4d 00 00000001ffffffff 00 00000000',
      { kind: 'message', transactional: false, lsn: 0x1ffffffffn, prefix: '', content: '' },
    ],
    ['Y type', '59 00004010 7075626c696300 6d6f6f6400', { kind: 'ignored' }],
    ['O origin', '4f 0000000000000001 6f00', { kind: 'ignored' }],
  ];

  it('R relation', () => {
    const decoder = new PgOutputDecoder();
    expect(decoder.decode(hex(R))).toEqual({ kind: 'relation', relation: USERS });
  });

  it.each(cases)('%s', (_, bytes, message) => {
    expect(knowingUsers().decode(hex(bytes))).toEqual(message);
  });

  it.each(cases)('%s: cut anywhere, or with a byte too many, it is refused (G9)', (_, bytes) => {
    const whole = hex(bytes);
    const decoder = knowingUsers();
    for (let length = 0; length < whole.length; length++) {
      expect(() => decoder.decode(whole.subarray(0, length)), `${length} bytes`).toThrow(DecodeError);
    }
    expect(() => decoder.decode(Buffer.concat([whole, Buffer.of(0)]))).toThrow(DecodeError);
    // What was refused has left nothing behind.
    expect(() => decoder.decode(whole)).not.toThrow();
  });

  it('R relation: cut anywhere it is refused, and nothing of it is remembered', () => {
    const whole = hex(R);
    const decoder = new PgOutputDecoder();
    for (let length = 0; length < whole.length; length++)
      expect(() => decoder.decode(whole.subarray(0, length))).toThrow(DecodeError);
    expect(() => decoder.decode(hex('49 00004006 4e 0002 6e 6e'))).toThrow(/never announced/);
  });

  it('knows an empty schema as pg_catalog, and a negative typmod', () => {
    const relation = { ...USERS, schema: '' };
    expect(new PgOutputDecoder().decode(encodeRelation(relation))).toEqual({
      kind: 'relation',
      relation: { ...USERS, schema: 'pg_catalog' },
    });
  });

  it.each([
    ['an unknown message', '5a'],
    ['a stream start, which version 1 does not have', '53 00000001 01'],
    ['a table that was never announced', '49 00004007 4e 0002 6e 6e'],
    ['a row with too few columns', '49 00004006 4e 0001 6e'],
    ['a row with too many columns', '49 00004006 4e 0003 6e 6e 6e'],
    ['a binary value, which was not asked for', '49 00004006 4e 0002 62 00000001 00 6e'],
    ['an unknown form of a value', '49 00004006 4e 0002 00 6e'],
    ['an insert with an old tuple', '49 00004006 4f 0002 6e 6e'],
    ['an update with an unknown tuple', '55 00004006 58 0002 6e 6e'],
    ['an update with an old tuple only', '55 00004006 4b 0002 6e 6e 58 0002 6e 6e'],
    ['a delete with a new tuple', '44 00004006 4e 0002 6e 6e'],
    ['a truncate of four billion tables', '54 ffffffff 00 00004006'],
    ['an unknown replica identity', '52 00000001 00 6100 78 0000'],
    ['a relation with more columns than bytes', '52 00000001 00 6100 64 ffff'],
    ['a name without an end', '59 00004010 7075626c6963'],
    ['a value longer than the message', '49 00004006 4e 0002 74 ffffffff 31 6e'],
  ])('refuses %s (G9)', (_, bytes) => {
    expect(() => knowingUsers().decode(hex(bytes))).toThrow(DecodeError);
  });

  it('refuses text that is not UTF-8 instead of changing it (G9)', () => {
    const latin1 = hex('49 00004006 4e 0002 74 00000001 31 74 00000004 636166e9');
    expect(() => knowingUsers().decode(latin1)).toThrow(DecodeError);
  });

  it('reads times before 1970 and after 2038', () => {
    expect(postgresTimeToMs(0n)).toBe(Date.UTC(2000, 0, 1));
    expect(postgresTimeToMs(-1_000_000n * 86_400n * 365n * 40n)).toBeLessThan(0);
    expect(postgresTimeToMs(micros(Date.UTC(2099, 11, 31)))).toBe(Date.UTC(2099, 11, 31));
  });
});

describe('relations', () => {
  it('stay the same object until their shape changes', () => {
    const decoder = new PgOutputDecoder();
    const first = decoder.decode(encodeRelation(USERS));
    expect(decoder.decode(encodeRelation(USERS))).toEqual({ kind: 'ignored' });
    const insert = Buffer.from(encode({ kind: 'insert', relation: USERS, row: ['1', null] }));
    expect(decoder.decode(insert)).toMatchObject({ relation: first.kind === 'relation' && first.relation });
    const [id, mail] = USERS.columns as [RelationColumn, RelationColumn];
    const changes: Relation[] = [
      { ...USERS, name: 'people' },
      { ...USERS, schema: 'other' },
      { ...USERS, replicaIdentity: 'f' },
      { ...USERS, columns: [id] },
      { ...USERS, columns: [mail, id] },
      { ...USERS, columns: [id, { ...mail, name: 'email' }] },
      { ...USERS, columns: [id, { ...mail, typeOid: 25 }] },
      { ...USERS, columns: [id, { ...mail, typmod: -1 }] },
      { ...USERS, columns: [id, { ...mail, isKey: true }] },
    ];
    for (const relation of changes) {
      expect(decoder.decode(encodeRelation(relation))).toEqual({ kind: 'relation', relation });
      expect(decoder.decode(encodeRelation(relation))).toEqual({ kind: 'ignored' });
    }
  });

  it('keeps nothing of the buffer, which the socket uses again', () => {
    const decoder = new PgOutputDecoder();
    const buffer = encodeRelation(USERS);
    const announced = decoder.decode(buffer);
    buffer.fill(0x2a);
    expect(announced).toEqual({ kind: 'relation', relation: USERS });
    const row = encode({ kind: 'insert', relation: USERS, row: ['1', 'x'.repeat(100)] });
    const decoded = decoder.decode(row);
    row.fill(0x2a);
    expect(decoded).toEqual({ kind: 'insert', relation: USERS, row: ['1', 'x'.repeat(100)] });
  });
});

const uint32 = fc.integer({ min: 0, max: 0xffff_ffff });
const lsn = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const atMs = fc.integer({ min: 0, max: 4_102_444_800_000 });
const anyText = fc.string({ unit: 'binary', maxLength: 20 });
const anyName = anyText.map((text) => text.replaceAll('\0', ''));
const anyValue = fc.oneof(
  { weight: 4, arbitrary: anyText },
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);
const MOST_COLUMNS = 5;
const anyRow = fc.array(anyValue, { minLength: MOST_COLUMNS, maxLength: MOST_COLUMNS });
const anyColumn: fc.Arbitrary<RelationColumn> = fc.record({
  name: anyName,
  typeOid: uint32,
  typmod: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  isKey: fc.boolean(),
});
const anyRelation: fc.Arbitrary<Relation> = fc.record({
  oid: fc.integer({ min: 1, max: 4 }),
  schema: anyName.filter((name) => name !== ''),
  name: anyName,
  replicaIdentity: fc.constantFrom('d', 'n', 'f', 'i'),
  columns: fc.array(anyColumn, { maxLength: MOST_COLUMNS }),
});

type Move = (known: Map<number, Relation>) => PgOutputMessage | null;

/** A step of a random stream: what it sends depends on the tables announced so far; null sends nothing. */
const anyMove: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ commitLsn: lsn, commitAtMs: atMs, xid: uint32 }).map(
    (rest): Move =>
      () => ({ kind: 'begin', ...rest }),
  ),
  fc.record({ commitLsn: lsn, endLsn: lsn, commitAtMs: atMs }).map(
    (rest): Move =>
      () => ({ kind: 'commit', ...rest }),
  ),
  fc.record({ transactional: fc.boolean(), lsn, prefix: anyName, content: anyText }).map(
    (rest): Move =>
      () => ({ kind: 'message', ...rest }),
  ),
  anyRelation.map(
    (relation): Move =>
      () => ({ kind: 'relation', relation }),
  ),
  fc
    .record({
      kind: fc.constantFrom('insert', 'update', 'delete'),
      at: fc.nat(),
      row: anyRow,
      old: anyRow,
      oldIs: fc.constantFrom('key', 'full', null),
    })
    .map(({ kind, at, row, old, oldIs }): Move => {
      return (known) => {
        const relation = [...known.values()][at % Math.max(known.size, 1)];
        if (!relation) return null;
        const cut = (values: Value[]) => values.slice(0, relation.columns.length);
        if (kind === 'insert') return { kind, relation, row: cut(row) };
        if (kind === 'delete') return { kind, relation, old: cut(old), oldIs: oldIs ?? 'key' };
        return { kind: 'update', relation, row: cut(row), old: oldIs === null ? null : cut(old), oldIs };
      };
    }),
  fc
    .record({ ats: fc.array(fc.nat(), { maxLength: 4 }), cascade: fc.boolean(), restartIdentity: fc.boolean() })
    .map(({ ats, cascade, restartIdentity }): Move => {
      return (known) => {
        const all = [...known.values()];
        const relations = all.length === 0 ? [] : ats.map((at) => all[at % all.length] as Relation);
        return { kind: 'truncate', relations, cascade, restartIdentity };
      };
    }),
);

/** Messages with their bytes; the relations among them are those of the decoder, by identity. */
function playOut(moves: readonly Move[]): Array<{ message: PgOutputMessage; bytes: Buffer }> {
  const known = new Map<number, Relation>();
  const played: Array<{ message: PgOutputMessage; bytes: Buffer }> = [];
  for (const move of moves) {
    const message = move(known);
    if (message === null || message.kind === 'ignored') continue;
    played.push({ message, bytes: encode(message) });
    if (message.kind === 'relation') known.set(message.relation.oid, message.relation);
  }
  return played;
}

describe('random streams', () => {
  it('decode to what was encoded, wherever in a buffer they stand (G9)', () => {
    fc.assert(
      fc.property(fc.array(anyMove, { maxLength: 30 }), fc.nat({ max: 40 }), (moves, offset) => {
        const decoder = new PgOutputDecoder();
        const raw = new PgOutputDecoder({ rawInserts: true });
        for (const { message, bytes } of playOut(moves)) {
          const given = Buffer.concat([Buffer.alloc(offset, 0x49), bytes]);
          const decoded = decoder.decode(given, offset);
          if (decoded.kind === 'ignored') expect(message.kind).toBe('relation');
          else expect(decoded).toEqual(message);
          const other = raw.decode(given, offset);
          // The buffer is the socket's, which is used again.
          given.fill(0);
          expect(plain(other)).toEqual(decoded);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('cut at any byte are refused (G9)', () => {
    fc.assert(
      fc.property(fc.array(anyMove, { minLength: 1, maxLength: 8 }), (moves) => {
        for (const decoder of [new PgOutputDecoder(), new PgOutputDecoder({ rawInserts: true })]) {
          for (const { bytes } of playOut(moves)) {
            for (let length = 0; length < bytes.length; length++)
              expect(() => decoder.decode(bytes.subarray(0, length))).toThrow(DecodeError);
            decoder.decode(bytes);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('mutated are refused or decoded, from their own bytes alone (G9)', () => {
    const mutation = fc.record({
      at: fc.nat(),
      how: fc.constantFrom('set', 'insert', 'remove', 'swap'),
      byte: fc.nat({ max: 255 }),
    });
    fc.assert(
      fc.property(
        fc.array(anyMove, { minLength: 1, maxLength: 12 }),
        fc.array(mutation, { minLength: 1, maxLength: 4 }),
        (moves, mutations) => {
          for (const { bytes } of playOut(moves)) {
            const mutated = mutate(bytes, mutations);
            const [first, second] = [0x00, 0x74].map((around) => outcome(moves, mutated, around));
            expect(second).toEqual(first);
            expect(outcome(moves, mutated, 0x00, true)).toEqual(first);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('of pure noise are refused or decoded', () => {
    fc.assert(
      fc.property(fc.constantFrom(...'BCRIUDTMYO'), fc.uint8Array({ maxLength: 60 }), (tag, noise) => {
        const decoder = knowingUsers();
        const bytes = Buffer.concat([Buffer.from(tag), noise]);
        try {
          decoder.decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function mutate(bytes: Buffer, mutations: ReadonlyArray<{ at: number; how: string; byte: number }>): Buffer {
  const list = [...bytes];
  for (const { at, how, byte } of mutations) {
    const i = at % Math.max(list.length, 1);
    if (how === 'set') list[i] = byte;
    else if (how === 'insert') list.splice(i, 0, byte);
    else if (how === 'remove') list.splice(i, 1);
    else [list[i], list[0]] = [list[0] as number, list[i] as number];
  }
  return Buffer.from(list);
}

/** Decodes `message` in the midst of other bytes; anything but a message or a DecodeError escapes. */
function outcome(
  moves: readonly Move[],
  message: Buffer,
  around: number,
  rawInserts = false,
): PgOutputMessage | string {
  const decoder = new PgOutputDecoder({ rawInserts });
  for (const { bytes } of playOut(moves)) decoder.decode(bytes);
  const backing = Buffer.alloc(message.length + 64, around);
  message.copy(backing, 32);
  try {
    return plain(decoder.decode(backing.subarray(0, 32 + message.length), 32));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return error.message;
  }
}

/** A message with its row decoded. */
function plain(message: PgOutputMessage): PgOutputMessage {
  if (!(message instanceof RawInsert)) return message;
  return { kind: 'insert', relation: message.relation, row: [...message.row] };
}

describe('raw inserts', () => {
  const value = fc.option(
    fc.oneof(
      fc.stringMatching(/^[\\\t\n\rNtnrbx .]*$/),
      fc.string({ unit: 'binary-ascii' }).map((text) => text.replaceAll('\0', '')),
    ),
  );
  const anyRows = fc.integer({ min: 1, max: 6 }).chain((columns) =>
    fc.array(fc.array(value, { minLength: columns, maxLength: columns }), {
      minLength: 1,
      maxLength: 20,
    }),
  );
  const decodedFrom = (rows: readonly (readonly Value[])[], decoder = new PgOutputDecoder({ rawInserts: true })) => {
    const columns = (rows[0] ?? []).map((_, i) => ({ name: `c${i}`, typeOid: 25, typmod: -1, isKey: i === 0 }));
    const relation: Relation = { oid: 9, schema: 's', name: 't', replicaIdentity: 'd', columns };
    decoder.decode(encodeRelation(relation));
    return rows.map((row) => decoder.decode(new Bytes().u8('I').u32(9).u8('N').row(row).done()));
  };

  it('of ASCII alone are kept as they came, and give their row, a column, and a line of COPY', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const found = decodedFrom(rows) as RawInsert[];
        for (const [i, insert] of found.entries()) {
          const row = rows[i] ?? [];
          expect(insert).toBeInstanceOf(RawInsert);
          const line = `${row.map(copyText).join('\t')}\n`;
          const out = Buffer.alloc(insert.mostLineBytes + 3, 0x2e);
          expect(out.toString('latin1', 3, insert.writeLine(out, 3))).toBe(line);
          row.forEach((text, column) => {
            if (text !== null) expect(insert.text(column)).toBe(text);
          });
          expect(insert.row).toEqual(row);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are none where a value is not ASCII, long, or left out', () => {
    const kinds = (...rows: Value[][]) => decodedFrom(rows).map((message) => message instanceof RawInsert);
    expect(kinds(['1', 'a'])).toEqual([true]);
    expect(kinds(['1', 'ä'])).toEqual([false]);
    expect(kinds(['1', 'x'.repeat(5000)])).toEqual([false]);
    expect(kinds(['1', undefined])).toEqual([false]);
    expect(kinds(['1', 'x'.repeat(127)], ['1', 'x'.repeat(128)])).toEqual([true, false]);
  });

  it('lie many in a buffer, which none of them writes over', () => {
    const rows = Array.from({ length: 2000 }, (_, i) => [String(i), `value ${i} `.repeat(10)]);
    expect(decodedFrom(rows).map((message) => (message as RawInsert).row)).toEqual(rows);
  });

  it('are read back from their line as a COPY on the primary has it', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        for (const row of rows) {
          const line = Buffer.from(`other\n${row.map(copyOut).join('\t')}\nmore\tvalues\n`);
          const from = line.indexOf('\n') + 1;
          const copied = new CopiedLine(line, from, line.indexOf('\n', from) + 1);
          row.forEach((text, column) => {
            if (text !== null) expect(copied.text(column)).toBe(text);
          });
          expect(copied.row).toEqual(row);
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** As the server writes it: three more characters have letters there than have to be escaped. */
function copyOut(value: Value): string {
  return copyText(value).replaceAll('\b', '\\b').replaceAll('\f', '\\f').replaceAll('\v', '\\v');
}
