/** Which types of a primary can be had in binary: what every PostgreSQL has, and what is made of it. */
import { arrayDecoder, type BinaryDecoder, BUILT_IN_DECODERS, isFloat, textDecoder } from './binary-values.js';
import type { Relation, RelationColumn } from './change.js';

/** A type of the database's own, as pg_type has it. */
export interface OwnType {
  readonly oid: number;
  /** pg_type.typtype: e for an enum, d for a domain, b for a base type. */
  readonly kind: string;
  /** What a domain is made of; 0 for others. */
  readonly base: number;
  /** What a true array consists of; null for others. */
  readonly element: OwnType | null;
}

export class BinaryTypes {
  readonly #own = new Map<number, BinaryDecoder>();
  /** Domains over floats. */
  readonly #floats = new Set<number>();

  /** Of four bytes: see `reals`. */
  readonly #refused: ReadonlySet<number>;

  /** @param reals false: numbers of four bytes can be had as text only */
  constructor(types: readonly OwnType[], { reals = true }: { readonly reals?: boolean } = {}) {
    this.#refused = reals ? new Set() : REALS;
    for (const type of types) {
      if (this.#refused.has(type.base) || this.#refused.has(type.element?.base ?? 0)) continue;
      const decoder = type.element ? ofArray(decoderOf(type.element)) : decoderOf(type);
      if (decoder) this.#own.set(type.oid, decoder);
      if (isFloat(type.base) || isFloat(type.element?.base ?? 0)) this.#floats.add(type.oid);
    }
  }

  /** One for each column, or the first column that can be had as text only. */
  decoders(columns: Relation['columns']): readonly BinaryDecoder[] | RelationColumn {
    const decoders: BinaryDecoder[] = [];
    for (const column of columns) {
      const decoder = this.decoder(column.typeOid);
      if (decoder === null || (column.isKey && this.isFloat(column.typeOid))) return column;
      decoders.push(decoder);
    }
    return decoders;
  }

  /** In what names a row: equal ones may have another text elsewhere. */
  isFloat(oid: number): boolean {
    return isFloat(oid) || this.#floats.has(oid);
  }

  decoder(oid: number): BinaryDecoder | null {
    if (this.#refused.has(oid)) return null;
    return BUILT_IN_DECODERS.get(oid) ?? this.#own.get(oid) ?? null;
  }
}

const REALS: ReadonlySet<number> = new Set([700, 1021]);

function decoderOf({ base, kind, oid }: OwnType): BinaryDecoder | null {
  if (kind === 'e') return textDecoder;
  return BUILT_IN_DECODERS.get(kind === 'd' ? base : oid) ?? null;
}

function ofArray(element: BinaryDecoder | null): BinaryDecoder | null {
  return element && arrayDecoder(element);
}
