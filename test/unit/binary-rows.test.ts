/** Rows in binary, from a connection's bytes to a COPY: nothing of a mutated one is taken for a value (G9). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dialectOf } from '../../src/apply/dialect.js';
import { BinaryInsert, BinaryRow, BinaryUpdate, COPY_HEADER, COPY_TRAILER } from '../../src/core/binary-row.js';
import { BinaryTypes } from '../../src/core/binary-types.js';
import { BUILT_IN_DECODERS, textDecoder } from '../../src/core/binary-values.js';
import type { Change } from '../../src/core/change.js';
import { DecodeError } from '../../src/core/errors.js';
import { bind } from '../../src/pipeline/binding.js';
import { compileSteps } from '../../src/pipeline/compile.js';
import { binaryLines } from '../../src/pipeline/copy-lines.js';
import { fold, type Step } from '../../src/pipeline/fold.js';
import { copiedLines } from '../../src/snapshot/copied-lines.js';
import { BinaryFormError } from '../../src/source/binary-tuples.js';
import { CopyFrames } from '../../src/source/copy-frames.js';
import { PgOutputDecoder, type PgOutputMessage } from '../../src/source/pgoutput.js';

import { relationOf, targetOf } from './table-fixture.js';

type Cell = string | null | undefined;

const u16 = (value: number) => Buffer.from([value >> 8, value & 0xff]);
const u32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
const name = (text: string) => Buffer.concat([Buffer.from(text), Buffer.of(0)]);

function tuple(cells: readonly Cell[]): Buffer {
  const values = cells.map((cell) => {
    if (cell === null) return Buffer.from('n');
    if (cell === undefined) return Buffer.from('u');
    return Buffer.concat([Buffer.from('b'), u32(Buffer.byteLength(cell)), Buffer.from(cell)]);
  });
  return Buffer.concat([u16(cells.length), ...values]);
}

function relation(types: readonly number[], key = 0): Buffer {
  const columns = types.map((oid, i) =>
    Buffer.concat([Buffer.of(i === key ? 1 : 0), name(`c${i}`), u32(oid), u32(-1)]),
  );
  return Buffer.concat([
    Buffer.from('R'),
    u32(9),
    name('s'),
    name('t'),
    Buffer.from('d'),
    u16(types.length),
    ...columns,
  ]);
}

const TEXT = 25;
const POSTGRES = dialectOf('PostgreSQL 18.4');

function decoderOf(columns: number): PgOutputDecoder {
  const decoder = new PgOutputDecoder({ rawInserts: true, binary: new BinaryTypes([]) });
  decoder.decode(relation(new Array<number>(columns).fill(TEXT)));
  return decoder;
}

const insert = (cells: readonly Cell[]) => Buffer.concat([Buffer.from('I'), u32(9), Buffer.from('N'), tuple(cells)]);
const update = (cells: readonly Cell[]) => Buffer.concat([Buffer.from('U'), u32(9), Buffer.from('N'), tuple(cells)]);

const anyCell = fc.option(fc.oneof(fc.string({ unit: 'binary', maxLength: 80 }), fc.constant('x'.repeat(5000))), {
  freq: 5,
});
const anyRows = fc
  .integer({ min: 1, max: 5 })
  .chain((columns) =>
    fc.array(fc.array(anyCell, { minLength: columns, maxLength: columns }), { minLength: 1, maxLength: 40 }),
  );
/** Lone surrogates become what UTF-8 has for them. */
const written = (cell: Cell) => (typeof cell === 'string' ? Buffer.from(cell).toString() : cell);

describe('rows in binary', () => {
  it('are kept as they came, and give their values and a line of COPY', () => {
    fc.assert(
      fc.property(anyRows, (rows) => {
        const decoder = decoderOf(rows[0]?.length ?? 0);
        const found = rows.map((row, i) => {
          const bytes = i % 3 === 0 ? update(row) : insert(row);
          const message = decoder.decode(bytes);
          // The buffer is the socket's, which is used again.
          bytes.fill(0x62);
          expect(message).toBeInstanceOf(i % 3 === 0 ? BinaryUpdate : BinaryInsert);
          return message as BinaryInsert | BinaryUpdate;
        });
        found.forEach((each, i) => {
          const row = rows[i]?.map(written) ?? [];
          row.forEach((cell, column) => {
            expect(each.text(column)).toBe(cell);
          });
          expect(each.row).toEqual(row);
        });
        expect(readBack(Buffer.concat(binaryLines(found)))).toEqual(rows.map((row) => row.map(written)));
        expect(readBack(Buffer.concat(binaryLines([...found].reverse())))).toEqual(
          rows.map((row) => row.map(written)).reverse(),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('are sent from where they lie when they came one behind the other', () => {
    const decoder = decoderOf(2);
    const rows = Array.from(
      { length: 5000 },
      (_, i) => decoder.decode(insert([String(i), 'x'.repeat(50)])) as BinaryInsert,
    );
    const pieces = binaryLines(rows);
    expect(pieces.length).toBeLessThan(12);
    expect(new Set(rows.map(({ bytes }) => bytes)).size).toBe(pieces.length - 2);
    expect(readBack(Buffer.concat(pieces))).toEqual(rows.map(({ row }) => row));
    const everyOther = binaryLines(rows.filter((_, i) => i % 2 === 0));
    expect(everyOther).toHaveLength(1);
    expect(readBack(Buffer.concat(everyOther))).toHaveLength(2500);
  });

  it('that are only inserted are copied as they came, and folded by key as soon as something else comes (G1)', () => {
    const table = { columns: ['id', 'a'], key: ['id'] };
    const decoder = decoderOf(2);
    const rowOf = (cells: readonly Cell[]) => decoder.decode(insert(cells)) as BinaryInsert;
    const rows = Array.from({ length: 200 }, (_, i) => rowOf([String(i), 'new']));
    const shape = { ...(rows[0] as BinaryInsert).relation, columns: relationOf(table).columns };
    const { binding } = bind(shape, targetOf(table), { rename: (column) => column, converter: () => null });
    const folded = (changes: readonly Change[]) => {
      const [step] = fold(changes, () => binding);
      if (step?.kind !== 'rows' || !step.keyed[0]) throw new Error('no rows');
      return { step, table: step.keyed[0] };
    };
    const binary = (step: Step) => compileSteps([step], POSTGRES, () => 'binary');
    const inserted = folded(rows);
    expect(inserted.table.inserts).toEqual(rows);
    const copies = binary(inserted.step).filter(({ copy }) => copy !== undefined);
    expect(copies.map(({ rows: count }) => count)).toEqual([200]);
    expect(readBack(Buffer.concat(copies[0]?.copy as Buffer[]))).toEqual(rows.map(({ row }) => row));
    // Asked for by key, each is there, and new to the secondary.
    expect([...inserted.table.changes].map(([key, { fresh, op, row }]) => [key, op, fresh, row])).toEqual(
      rows.map(({ row }) => [row[0], 'upsert', true, row]),
    );
    expect(inserted.table.inserts).toBeNull();

    const gone: Change = { kind: 'delete', relation: shape, old: ['7', null], oldIs: 'key' };
    const changed = folded([...rows.slice(0, 100), gone, ...rows.slice(100), rowOf(['7', 'again'])]);
    expect(changed.table.inserts).toBeNull();
    expect(changed.table.changes.size).toBe(200);
    expect(changed.table.changes.get('7')).toMatchObject({ op: 'upsert', row: ['7', 'again'], fresh: false });

    // A key that the primary does not have: the last row wins, as it does where each change is applied for itself.
    const twice = folded([...rows, rowOf(['7', 'second'])]);
    const upserts = compileSteps([twice.step], POSTGRES, () => null);
    expect(upserts.reduce((sum, { rows: count }) => sum + count, 0)).toBe(200);
    expect(twice.table.changes.get('7')?.row).toEqual(['7', 'second']);
  });

  it("without a key are nobody else's: no two of them, and none with an empty key, become one (G9)", () => {
    const table = { columns: ['id', 'a'], key: ['id'] };
    const target = targetOf(table);
    const decoder = decoderOf(2);
    const changes = [[null, 'a'] as const, ['', 'b'] as const].map(
      (cells) => decoder.decode(insert(cells)) as BinaryInsert,
    );
    const { binding } = bind({ ...(changes[0] as BinaryInsert).relation, columns: relationOf(table).columns }, target, {
      rename: (column) => column,
      converter: () => null,
    });
    expect(binding.binary).toBe(true);
    const [step] = fold(changes, () => binding);
    const rows = step?.kind === 'rows' ? [...(step.keyed[0]?.changes.values() ?? [])].map(({ row }) => row) : [];
    expect(rows).toEqual([
      [null, 'a'],
      ['', 'b'],
    ]);
  });

  it('with values that the WAL leaves out are no rows to hand on', () => {
    const decoder = decoderOf(2);
    expect(decoder.decode(update(['1', undefined]))).toEqual(
      expect.objectContaining({ kind: 'update', old: null, row: ['1', undefined] }),
    );
    expect(decoder.decode(insert(['2', 'b']))).toBeInstanceOf(BinaryInsert);
  });

  it('cut or mutated are refused or decoded, from their own bytes alone (G9)', () => {
    const mutation = fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) });
    fc.assert(
      fc.property(anyRows, fc.array(mutation, { minLength: 1, maxLength: 3 }), fc.nat(), (rows, mutations, cut) => {
        for (const row of rows.slice(0, 4)) {
          const bytes = insert(row);
          for (const { at, byte } of mutations) bytes[at % bytes.length] = byte;
          expect(outcome(row.length, bytes, 0x00)).toEqual(outcome(row.length, bytes, 0x62));
          const shorter = insert(row).subarray(0, cut % bytes.length);
          expect(outcome(row.length, shorter, 0x62)).toEqual(expect.any(String));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of a type that is not known in binary, or keyed by a float, are not asked for again', () => {
    for (const [types, key] of [
      [[TEXT, 1186], 0],
      [[701, TEXT], 0],
    ] as const) {
      const decoder = new PgOutputDecoder({ binary: new BinaryTypes([]) });
      expect(() => decoder.decode(relation(types, key))).toThrow(BinaryFormError);
    }
    expect(() => new PgOutputDecoder({ binary: new BinaryTypes([]) }).decode(relation([701, TEXT], 1))).not.toThrow();
    const ofFloats = new BinaryTypes([{ oid: 20_000, kind: 'd', base: 700, element: null }]);
    expect(() => new PgOutputDecoder({ binary: ofFloats }).decode(relation([20_000, TEXT], 0))).toThrow(
      BinaryFormError,
    );
    expect(() => new PgOutputDecoder({ binary: ofFloats }).decode(relation([20_000, TEXT], 1))).not.toThrow();
  });
});

function outcome(columns: number, message: Buffer, around: number): unknown {
  const backing = Buffer.alloc(message.length + 64, around);
  message.copy(backing, 32);
  try {
    return plain(decoderOf(columns).decode(backing, 32, 32 + message.length));
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    return error.message;
  }
}

function plain(message: PgOutputMessage): unknown {
  return message instanceof BinaryRow ? message.row : message;
}

/** What a server reads: "PostgreSQL manual, COPY, Binary Format". */
function readBack(copy: Buffer): (string | null)[][] {
  expect(copy.subarray(0, 19)).toEqual(COPY_HEADER);
  const rows: (string | null)[][] = [];
  let at = 19;
  for (;;) {
    const count = copy.readInt16BE(at);
    at += 2;
    if (count === -1) break;
    rows.push(
      Array.from({ length: count }, () => {
        const length = copy.readInt32BE(at);
        at += 4;
        if (length === -1) return null;
        at += length;
        return copy.toString('utf8', at - length, at);
      }),
    );
  }
  expect(at).toBe(copy.length);
  return rows;
}

describe('values in binary', () => {
  it('of noise are refused or decoded, and never hang (G9)', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      // Arrays whose frame is right at first sight.
      fc
        .tuple(
          fc.array(fc.constantFrom(0, 1, 2, 3, 255, 2 ** 30, 2 ** 31), { minLength: 3, maxLength: 14 }),
          fc.uint8Array({ maxLength: 20 }),
        )
        .map(([words, rest]) => Buffer.concat([...words.map(u32), rest])),
    );
    fc.assert(
      fc.property(fc.constantFrom(...BUILT_IN_DECODERS.values(), textDecoder), bytes, (decode, noise) => {
        const given = Buffer.from(noise);
        try {
          expect(typeof decode(given, 0, given.length)).toBe('string');
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('rows that a primary copies in binary', () => {
  it('are those that it has sent, and a frame that is another is refused', () => {
    const decoders = [textDecoder, textDecoder];
    const line = (cells: readonly Cell[]) => {
      const values = cells.map((cell) =>
        typeof cell === 'string' ? Buffer.concat([u32(cell.length), Buffer.from(cell)]) : u32(-1),
      );
      return Buffer.concat([u16(cells.length), ...values]);
    };
    const lines = copiedLines(decoders);
    const first = Buffer.concat([COPY_HEADER, line(['1', null])]);
    expect(lines.isEnd(first)).toBe(false);
    expect(lines.take(first).row).toEqual(['1', null]);
    expect(lines.take(line(['2', 'b'])).row).toEqual(['2', 'b']);
    expect(lines.isEnd(COPY_TRAILER)).toBe(true);
    expect(copiedLines(decoders).isEnd(Buffer.concat([COPY_HEADER, COPY_TRAILER]))).toBe(true);
    for (const wrong of [
      line(['1', '2']),
      COPY_HEADER,
      Buffer.concat([COPY_HEADER, line(['1'])]),
      Buffer.concat([first, u16(0)]),
    ])
      expect(() => copiedLines(decoders).take(wrong)).toThrow(DecodeError);
  });
});

describe("a connection's bytes", () => {
  const message = fc.record({
    type: fc.constantFrom('d', 'd', 'd', 'N', 'S', 'Z'),
    body: fc.uint8Array({ maxLength: 90 }),
  });

  it('are the same messages, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(message, { maxLength: 25 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }),
        (messages, sizes) => {
          const all = Buffer.concat(
            messages.map(({ body, type }) => Buffer.concat([Buffer.from(type), u32(body.length + 4), body])),
          );
          const data: string[] = [];
          const others: Buffer[] = [];
          const frames = new CopyFrames(
            (buffer, start, end) => void data.push(buffer.toString('hex', start, end)),
            (bytes) => void others.push(Buffer.from(bytes)),
          );
          for (let at = 0, i = 0; at < all.length; i++) {
            const size = sizes[i % sizes.length] as number;
            const chunk = Buffer.from(all.subarray(at, at + size));
            frames.push(chunk);
            chunk.fill(0);
            at += size;
          }
          expect(data).toEqual(
            messages.filter(({ type }) => type === 'd').map(({ body }) => Buffer.from(body).toString('hex')),
          );
          expect(Buffer.concat(others)).toEqual(
            Buffer.concat(
              messages
                .filter(({ type }) => type !== 'd')
                .map(({ body, type }) => Buffer.concat([Buffer.from(type), u32(body.length + 4), body])),
            ),
          );
        },
      ),
      { numRuns: 400 },
    );
  });
});
