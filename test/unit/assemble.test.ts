/** Decoded messages to entries: order, parts of large transactions, repeats, echoes, watermarks. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Change, Relation } from '../../src/core/change.js';
import { DecodeError } from '../../src/core/errors.js';
import { type AssembleOptions, Assembler, relationsOf } from '../../src/pipeline/assemble.js';
import { ECHO_PREFIX, type Entry, type TransactionPart, WATERMARK_PREFIX } from '../../src/pipeline/entries.js';
import type { PgOutputMessage } from '../../src/source/pgoutput.js';
import { relationOf } from './table-fixture.js';

const users = relationOf({ columns: ['id', 'name'], key: ['id'] });

const insert = (id: string, relation: Relation = users): Change => ({ kind: 'insert', relation, row: [id, null] });
const begin = (commitLsn: bigint, xid = 7): PgOutputMessage => ({ kind: 'begin', commitLsn, commitAtMs: 1000, xid });
const commit = (commitLsn: bigint, endLsn = commitLsn + 8n): PgOutputMessage => ({
  kind: 'commit',
  commitLsn,
  endLsn,
  commitAtMs: 1000,
});
const logical = (prefix: string, transactional: boolean, content = ''): PgOutputMessage => ({
  kind: 'message',
  transactional,
  lsn: 5n,
  prefix,
  content,
});

function assemble(options: Partial<AssembleOptions> = {}) {
  const entries: Entry[] = [];
  let echoes = 0;
  const assembler = new Assembler({
    durable: 0n,
    partRows: 100,
    partBytes: 10_000,
    emit: (entry) => entries.push(entry),
    onEcho: () => {
      echoes += 1;
    },
    ...options,
  });
  return {
    assembler,
    entries,
    echoes: () => echoes,
    feed: (...messages: PgOutputMessage[]) => {
      for (const message of messages) assembler.message(message, 10);
    },
  };
}

describe('Assembler', () => {
  it('hands on a transaction at its commit, with its position and size', () => {
    const { assembler, entries, feed } = assemble();
    feed(begin(100n), { kind: 'relation', relation: users }, { kind: 'ignored' }, insert('1'), insert('2'));
    expect(entries).toEqual([]);
    expect(assembler.inTransaction).toBe(true);
    feed(commit(100n, 120n));
    expect(assembler.inTransaction).toBe(false);
    expect(entries).toEqual([
      {
        kind: 'transaction',
        xid: 7,
        commitLsn: 100n,
        commitAtMs: 1000,
        first: true,
        commit: { commitLsn: 100n, endLsn: 120n, commitAtMs: 1000, xid: 7 },
        changes: [insert('1'), insert('2')],
        bytes: 30,
        echo: false,
      },
    ]);
  });

  it('hands on empty transactions: their position counts', () => {
    const { entries, feed } = assemble();
    feed(begin(100n), commit(100n));
    expect(entries).toMatchObject([{ changes: [], commit: { endLsn: 108n } }]);
  });

  it('cuts a large transaction into parts as its rows arrive (G4)', () => {
    const { entries, feed } = assemble({ partRows: 2 });
    feed(begin(100n), insert('1'), insert('2'));
    expect(entries).toMatchObject([{ first: true, commit: null, changes: [insert('1'), insert('2')], bytes: 30 }]);
    feed(insert('3'), insert('4'), commit(100n));
    expect(entries.slice(1)).toMatchObject([
      { first: false, commit: null, changes: [insert('3'), insert('4')], bytes: 20 },
      { first: false, commit: { commitLsn: 100n }, changes: [], bytes: 0 },
    ]);
    feed(begin(200n), insert('5'), commit(200n));
    expect(entries[3]).toMatchObject({ first: true, commit: { commitLsn: 200n }, bytes: 20 });
  });

  it('cuts by bytes as well', () => {
    const { entries, feed } = assemble({ partBytes: 25 });
    feed(begin(100n), insert('1'), insert('2'), insert('3'), commit(100n));
    expect(entries.map((entry) => (entry as TransactionPart).changes.length)).toEqual([2, 1]);
  });

  it('passes on what starts exactly at the durable position, and drops what starts before it (G3)', () => {
    const { entries, feed, assembler } = assemble({ durable: 100n, partRows: 1 });
    feed(begin(99n), insert('1'), insert('2'), commit(99n, 100n));
    expect(entries).toEqual([]);
    feed(begin(100n), insert('3'), commit(100n));
    expect(entries).toHaveLength(2);
    // A new leader learns in the midst of a transaction that the former one has applied it.
    feed(begin(200n), insert('4'));
    assembler.durable = 208n;
    feed(insert('5'), commit(200n));
    expect(entries).toHaveLength(3);
  });

  it('keeps the place of an echo, but not its changes', () => {
    const { entries, echoes, feed } = assemble({ partRows: 1 });
    feed(begin(100n), logical(ECHO_PREFIX, true), insert('1'), insert('2'), commit(100n));
    expect(entries).toMatchObject([{ echo: true, first: true, changes: [], commit: { commitLsn: 100n } }]);
    expect(echoes()).toBe(1);
    // The mark counts at the beginning only: nobody's later message may hide changes that were seen already.
    feed(begin(200n), insert('3'), logical(ECHO_PREFIX, true), commit(200n));
    feed(begin(300n), logical('other', true), insert('4'), commit(300n));
    feed(begin(400n), insert('5'), commit(400n));
    expect(entries.slice(1).flatMap((entry) => (entry as TransactionPart).changes)).toHaveLength(3);
    expect(echoes()).toBe(1);
  });

  it('does not count an echo that the secondary has', () => {
    const { entries, echoes, feed } = assemble({ durable: 500n });
    feed(begin(100n), logical(ECHO_PREFIX, true), insert('1'), commit(100n));
    expect(entries).toEqual([]);
    expect(echoes()).toBe(0);
  });

  it('hands on watermarks in their place, and no other message', () => {
    const { entries, feed } = assemble();
    feed(begin(100n), insert('1'), commit(100n), logical(WATERMARK_PREFIX, false, 'low'), logical('other', false));
    feed(begin(200n), logical(WATERMARK_PREFIX, true, 'not one: it would move with its commit'), commit(200n));
    expect(entries.map((entry) => entry.kind)).toEqual(['transaction', 'watermark', 'transaction']);
    expect(entries[1]).toEqual({ kind: 'watermark', lsn: 5n, content: 'low', bytes: 10 });
  });

  it.each<[string, PgOutputMessage[]]>([
    ['a change outside a transaction', [insert('1')]],
    ['a truncate outside a transaction', [{ kind: 'truncate', relations: [], cascade: false, restartIdentity: false }]],
    ['a commit outside a transaction', [commit(1n)]],
    ['a transactional message outside a transaction', [logical('x', true)]],
    ['a transaction inside another', [begin(1n), begin(2n)]],
    ['a commit of another transaction', [begin(1n), commit(2n)]],
  ])('refuses %s (G9)', (_, messages) => {
    const { feed } = assemble();
    expect(() => feed(...messages)).toThrow(DecodeError);
  });

  it('loses, repeats and reorders nothing, whatever the limits (G1, G9)', () => {
    const transactions = fc.array(fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 12 }), { maxLength: 10 });
    fc.assert(
      fc.property(
        transactions,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 120 }),
        fc.nat({ max: 10 }),
        (sizes, partRows, partBytes, done) => {
          const durable = BigInt(done * 100);
          const entries: Entry[] = [];
          const assembler = new Assembler({
            durable,
            partRows,
            partBytes,
            emit: (entry) => entries.push(entry),
            onEcho: () => undefined,
          });
          sizes.forEach((changes, t) => {
            const at = BigInt(t * 100);
            assembler.message(begin(at, t), 21);
            changes.forEach((bytes, i) => {
              assembler.message(insert(`${t}.${i}`), bytes);
            });
            assembler.message(commit(at, at + 100n), 26);
          });
          const parts = entries as TransactionPart[];
          const ids = parts.map((part) => part.changes.map((change) => change.kind === 'insert' && change.row[0]));
          const kept = sizes.map((changes, t) => (t < done ? [] : changes.map((_, i) => `${t}.${i}`)));
          expect(ids.flat()).toEqual(kept.flat());
          expect(parts.filter((part) => part.first).map((part) => part.xid)).toEqual(
            sizes.map((_, t) => t).filter((t) => t >= done),
          );
          expect(parts.filter((part) => part.commit).map((part) => part.commit?.endLsn)).toEqual(
            sizes.map((_, t) => BigInt(t * 100 + 100)).filter((_, t) => t >= done),
          );
          for (const [i, part] of parts.entries()) {
            expect(part.changes.length).toBeLessThanOrEqual(partRows);
            // Only the change that crossed the limit lies beyond it.
            expect(part.bytes).toBeLessThan(partBytes + 50 + 21);
            expect(part.first).toBe(i === 0 || parts[i - 1]?.commit !== null);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('relationsOf', () => {
  it('names each version once, of truncates too', () => {
    const other = relationOf({ name: 'other', oid: 2, columns: ['id'], key: ['id'] });
    const again = { ...users };
    const truncate: Change = { kind: 'truncate', relations: [other, users], cascade: false, restartIdentity: false };
    expect([...relationsOf([insert('1'), insert('2'), insert('3', again), truncate])]).toEqual([users, again, other]);
  });
});
