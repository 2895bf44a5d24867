/**
 * Decoder of the pgoutput protocol, versions 1 (PostgreSQL 14 to 18; "Logical Replication Message Formats" in the
 * PostgreSQL manual). Works synchronously on the socket's buffer, which is reused: nothing of it is kept.
 * Every length is checked before it is used, so that a cut or mutated message is a DecodeError and never a wrong row.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { BinaryInsert, BinaryUpdate, type RelationForm } from '../core/binary-row.js';
import type { BinaryTypes } from '../core/binary-types.js';
import type { BinaryDecoder } from '../core/binary-values.js';
import type { Change, Relation, RelationColumn, Value } from '../core/change.js';
import { DecodeError } from '../core/errors.js';
import type { Lsn } from '../core/lsn.js';
import { RawInsert } from '../core/raw-insert.js';
import { BinaryTuples } from './binary-tuples.js';
import { formOf, isReplicaIdentity, type Known, sameRelation } from './relations.js';

export type PgOutputMessage =
  | { readonly kind: 'begin'; readonly commitLsn: Lsn; readonly commitAtMs: number; readonly xid: number }
  | { readonly kind: 'commit'; readonly commitLsn: Lsn; readonly endLsn: Lsn; readonly commitAtMs: number }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | {
      readonly kind: 'message';
      readonly transactional: boolean;
      readonly lsn: Lsn;
      readonly prefix: string;
      readonly content: string;
    }
  | { readonly kind: 'ignored' }
  | Change;

const REPLACEMENT = '\uFFFD';
const IGNORED: PgOutputMessage = { kind: 'ignored' };
/** Values of a row share its text, which lives as long as the last of them. */
const MOST_ASCII = 4096;
const SLOW_ROWS = 32;
/** It lives as long as the last insert in it. */
const SLAB_BYTES = 64 << 10;
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Microseconds since 2000-01-01 to milliseconds since 1970-01-01. */
export function postgresTimeToMs(microseconds: bigint): number {
  return Number(microseconds / 1000n) + POSTGRES_EPOCH_MS;
}

export class PgOutputDecoder {
  readonly #relations = new Map<number, Known>();
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  readonly #rawInserts: boolean;
  readonly #types: BinaryTypes | null;
  readonly #tuples = new BinaryTuples();
  /** Where the bytes of raw inserts are kept, and how far it is filled. */
  #slab: Buffer = Buffer.alloc(0);
  #filled = 0;
  /** So many rows are decoded value by value before they are tried as a whole again. */
  #slowRows = 0;

  /**
   * @param options `rawInserts`: inserts may come as RawInsert, which is decoded when somebody looks at its row; `binary`:
   * values come in binary where they are of these types, and rows as BinaryInsert and BinaryUpdate
   */
  constructor(options: { readonly rawInserts?: boolean; readonly binary?: BinaryTypes | null } = {}) {
    this.#rawInserts = options.rawInserts === true;
    this.#types = options.binary ?? null;
  }

  /** Decodes one message: `buffer` from `start` to `end`. Throws DecodeError. */
  decode(buffer: Buffer, start = 0, end = buffer.length): PgOutputMessage {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
    const message = this.#message(this.#uint8());
    if (this.#at !== this.#end)
      throw new DecodeError(`A replication message has ${this.#end - this.#at} bytes too many.`);
    return message;
  }

  #message(tag: number): PgOutputMessage {
    switch (tag) {
      case 0x49: {
        // I
        const known = this.#known();
        this.#expect(0x4e);
        const { form, relation } = known;
        if (form && this.#keepsTuple(form)) {
          const { bytes, end, start } = this.#tuples;
          return new BinaryInsert(form, bytes, start, end);
        }
        return this.#rawInsert(known) ?? { kind: 'insert', relation, row: this.#tuple(known) };
      }
      case 0x55: // U
        return this.#update();
      case 0x44: {
        // D
        const known = this.#known();
        const { relation } = known;
        const form = this.#uint8();
        if (form !== 0x4b && form !== 0x4f) throw new DecodeError(`A delete has the unknown tuple form ${form}.`);
        return { kind: 'delete', relation, old: this.#tuple(known), oldIs: form === 0x4f ? 'full' : 'key' };
      }
      case 0x42: {
        // B
        const commitLsn = this.#uint64();
        const commitAtMs = postgresTimeToMs(this.#int64());
        return { kind: 'begin', commitLsn, commitAtMs, xid: this.#uint32() };
      }
      case 0x43: {
        // C
        this.#uint8();
        const commitLsn = this.#uint64();
        const endLsn = this.#uint64();
        return { kind: 'commit', commitLsn, endLsn, commitAtMs: postgresTimeToMs(this.#int64()) };
      }
      case 0x52: // R
        return this.#relationMessage();
      case 0x54: {
        // T
        const count = this.#uint32();
        const options = this.#uint8();
        if (count * 4 > this.#end - this.#at) throw new DecodeError('A truncate names more tables than it carries.');
        const relations = Array.from({ length: count }, () => this.#known().relation);
        return { kind: 'truncate', relations, cascade: (options & 1) !== 0, restartIdentity: (options & 2) !== 0 };
      }
      case 0x4d: {
        // M
        const flags = this.#uint8();
        const lsn = this.#uint64();
        const prefix = this.#cstring();
        const content = this.#text(this.#uint32());
        return { kind: 'message', transactional: (flags & 1) !== 0, lsn, prefix, content };
      }
      case 0x59: // Y: data types are looked up in the catalog where they matter
        this.#uint32();
        this.#cstring();
        this.#cstring();
        return IGNORED;
      case 0x4f: // O: origin, informative
        this.#uint64();
        this.#cstring();
        return IGNORED;
      default:
        throw new DecodeError(`Unknown replication message 0x${tag.toString(16)}.`);
    }
  }

  #update(): PgOutputMessage {
    const known = this.#known();
    const { form: binary, relation } = known;
    const form = this.#uint8();
    if (form === 0x4e) {
      if (binary && this.#keepsTuple(binary)) {
        const { bytes, end, start } = this.#tuples;
        return new BinaryUpdate(binary, bytes, start, end);
      }
      return { kind: 'update', relation, old: null, oldIs: null, row: this.#tuple(known) };
    }
    if (form !== 0x4b && form !== 0x4f) throw new DecodeError(`An update has the unknown tuple form ${form}.`);
    const old = this.#tuple(known);
    this.#expect(0x4e);
    return { kind: 'update', relation, old, oldIs: form === 0x4f ? 'full' : 'key', row: this.#tuple(known) };
  }

  /** False for a row that has to be decoded to be known, or to be refused with a reason. */
  #keepsTuple({ decoders }: RelationForm): boolean {
    if (!this.#tuples.keep(this.#buffer, this.#at, this.#end, decoders.length)) return false;
    this.#at = this.#end;
    return true;
  }

  /** Null for a row that has to be decoded to be known, or to be refused with a reason. */
  #rawInsert({ form, relation }: Known): RawInsert | null {
    if (!this.#rawInserts || form) return null;
    const buffer = this.#buffer;
    const end = this.#end;
    const start = this.#at + 2;
    const bytes = end - start;
    if (bytes <= 0 || bytes > MOST_ASCII || !this.#isComplete(relation.columns.length)) return null;
    if (this.#slowRows > 0) {
      this.#slowRows -= 1;
      return null;
    }
    // Lengths of 128 and more are not ASCII either: those rows take the other way.
    if (!isAscii(buffer.subarray(start, end))) {
      this.#slowRows = SLOW_ROWS;
      return null;
    }
    if (this.#filled + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.#filled = 0;
    }
    const from = this.#filled;
    buffer.copy(this.#slab, from, start, end);
    this.#filled += bytes;
    this.#at = end;
    return new RawInsert(relation, this.#slab, from, from + bytes);
  }

  /** Whether the message ends with a row of as many values, each of which is there as text or null. */
  #isComplete(columns: number): boolean {
    const buffer = this.#buffer;
    const end = this.#end;
    let at = this.#at;
    if (columns === 0 || ((buffer[at] as number) << 8) + (buffer[at + 1] as number) !== columns) return false;
    at += 2;
    for (let i = 0; i < columns; i++) {
      const form = buffer[at];
      if (form === 0x6e) at += 1;
      else if (form === 0x74 && at + 5 <= end) {
        const b = buffer;
        // Longer ones than the whole may be have their first two bytes set.
        if (b[at + 1] !== 0 || b[at + 2] !== 0) return false;
        at += 5 + ((b[at + 3] as number) << 8) + (b[at + 4] as number);
      } else return false;
      if (at > end) return false;
    }
    return at === end;
  }

  #tuple({ form: binary, relation }: Known): Value[] {
    const count = this.#uint16();
    if (count !== relation.columns.length) {
      throw new DecodeError(
        `A row of ${relation.schema}.${relation.name} has ${count} columns where ${relation.columns.length} were announced.`,
      );
    }
    const row = new Array<Value>(count);
    const from = this.#at;
    const ascii = binary ? null : this.#asciiRest();
    for (let i = 0; i < count; i++) {
      const form = this.#uint8();
      if (form === 0x74) {
        const length = this.#uint32();
        const start = this.#take(length);
        row[i] = ascii === null ? this.#value(start, length) : ascii.substring(start - from, start - from + length);
      } else if (form === 0x6e) row[i] = null;
      else if (form === 0x75) row[i] = undefined;
      else if (form === 0x62 && binary) {
        const length = this.#uint32();
        const start = this.#take(length);
        row[i] = (binary.decoders[i] as BinaryDecoder)(this.#buffer, start, start + length);
      } else throw new DecodeError(`A column of ${relation.schema}.${relation.name} has the unknown form ${form}.`);
    }
    return row;
  }

  #value(start: number, length: number): string {
    const text = this.#buffer.toString('utf8', start, start + length);
    // What is not UTF-8 becomes U+FFFD without a word; a search for it costs next to nothing where there is none.
    if (text.includes(REPLACEMENT)) this.#requireUtf8(start, start + length);
    return text;
  }

  /**
   * The rest of the message as one text of as many characters as it has bytes, or null when it is not ASCII throughout:
   * one call into native code for a row in place of one for each value. Lengths of 128 and more are not ASCII either, so
   * that wide rows take the other way, and are not tried again for a while.
   */
  #asciiRest(): string | null {
    if (this.#slowRows > 0) {
      this.#slowRows -= 1;
      return null;
    }
    const bytes = this.#end - this.#at;
    if (bytes > MOST_ASCII) return null;
    const text = this.#buffer.toString('utf8', this.#at, this.#end);
    // A sequence of several bytes makes the text shorter, and what is no UTF-8 is replaced: else it is ASCII.
    if (text.length === bytes && !text.includes(REPLACEMENT)) return text;
    this.#slowRows = SLOW_ROWS;
    return null;
  }

  #relationMessage(): PgOutputMessage {
    const oid = this.#uint32();
    const schema = this.#cstring();
    const name = this.#cstring();
    const identity = String.fromCharCode(this.#uint8());
    if (!isReplicaIdentity(identity)) throw new DecodeError(`Unknown replica identity ${JSON.stringify(identity)}.`);
    const count = this.#uint16();
    const columns: RelationColumn[] = [];
    for (let i = 0; i < count; i++) {
      const flags = this.#uint8();
      columns.push({
        isKey: (flags & 1) !== 0,
        name: this.#cstring(),
        typeOid: this.#uint32(),
        typmod: this.#uint32() | 0,
      });
    }
    // An empty schema name stands for pg_catalog in the protocol.
    const relation: Relation = { oid, schema: schema || 'pg_catalog', name, replicaIdentity: identity, columns };
    const known = this.#relations.get(oid);
    // Keep the object when nothing changed: identity of the object means identity of the shape downstream.
    if (known && sameRelation(known.relation, relation)) return IGNORED;
    this.#relations.set(oid, { relation, form: this.#types && formOf(relation, this.#types) });
    return { kind: 'relation', relation };
  }

  #known(): Known {
    const oid = this.#uint32();
    const known = this.#relations.get(oid);
    if (!known) throw new DecodeError(`A change names the table with oid ${oid}, which was never announced.`);
    return known;
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start)
      throw new DecodeError(`A replication message ends ${length - (this.#end - start)} bytes early.`);
    this.#at = start + length;
    return start;
  }

  #expect(tag: number): void {
    const found = this.#uint8();
    if (found !== tag)
      throw new DecodeError(`Expected 0x${tag.toString(16)} in a replication message, found 0x${found.toString(16)}.`);
  }

  #uint8(): number {
    return this.#buffer[this.#take(1)] as number;
  }

  #uint16(): number {
    const b = this.#buffer;
    const i = this.#take(2);
    return ((b[i] as number) << 8) | (b[i + 1] as number);
  }

  #uint32(): number {
    const b = this.#buffer;
    const i = this.#take(4);
    return (
      (((b[i] as number) << 24) | ((b[i + 1] as number) << 16) | ((b[i + 2] as number) << 8) | (b[i + 3] as number)) >>>
      0
    );
  }

  #uint64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#take(8));
  }

  #int64(): bigint {
    return this.#buffer.readBigInt64BE(this.#take(8));
  }

  #text(length: number): string {
    const start = this.#take(length);
    return this.#buffer.toString('utf8', start, start + length);
  }

  #cstring(): string {
    const end = this.#buffer.indexOf(0, this.#at);
    if (end < 0 || end >= this.#end) throw new DecodeError('A name in a replication message has no end.');
    const text = this.#buffer.toString('utf8', this.#at, end);
    if (text.includes(REPLACEMENT)) this.#requireUtf8(this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** The session's client_encoding is UTF8, to which every encoding is converted but SQL_ASCII, which is none. */
  #requireUtf8(start: number, end: number): void {
    if (isUtf8(this.#buffer.subarray(start, end))) return;
    throw new DecodeError(
      'A text in a replication message is not UTF-8, as a primary with the encoding SQL_ASCII may send it.',
      undefined,
      "Move the data to a database with an encoding (CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0) and use that as the primary.",
    );
  }
}
