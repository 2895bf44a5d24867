/** One-row transactions as applications write them: 60 % updates, 30 % inserts, 10 % deletes. */
import type { QueryConfig } from 'pg';
import { insertOneSql, insertSql, SCHEMA, tableSql } from './rows.js';

const KEYS = 100_000;

export const MIX_TABLES = ['mix', 'probe'];
export const MIX_SQL = tableSql('mix');

/** Rows that updates and deletes find; on the primary only, before a replication begins, or on both sides. */
export function mixSeedSql(): string {
  return insertSql('mix', 1, KEYS);
}

const INSERT = { name: 'mix-insert', text: insertOneSql('mix', '$1::bigint') };
const UPDATE = {
  name: 'mix-update',
  text: `UPDATE ${SCHEMA}.mix SET amount = amount + 1, updated_at = clock_timestamp() WHERE id = $1`,
};
const DELETE = { name: 'mix-delete', text: `DELETE FROM ${SCHEMA}.mix WHERE id = $1` };

/**
 * What one of some clients writes. Its keys are its own: no client waits for another's lock, and a row that is drawn is
 * there, so that each statement changes one row, and none is a transaction of nothing.
 */
export class Mix {
  readonly #clients: number;
  readonly #keys: number[] = [];
  #next: number;

  /** @param client from 0 on */
  constructor(client: number, clients: number) {
    this.#clients = clients;
    this.#next = client + 1;
    while (this.#next <= KEYS) this.#keys.push(this.#newKey());
  }

  /** A statement that is its own transaction. */
  draw(): QueryConfig {
    const chance = Math.random();
    if (chance < 0.3) {
      const key = this.#newKey();
      this.#keys.push(key);
      return { ...INSERT, values: [key] };
    }
    const at = Math.floor(Math.random() * this.#keys.length);
    const values = [this.#keys[at]];
    if (chance < 0.9) return { ...UPDATE, values };
    const last = this.#keys.pop() as number;
    if (at < this.#keys.length) this.#keys[at] = last;
    return { ...DELETE, values };
  }

  #newKey(): number {
    const key = this.#next;
    this.#next += this.#clients;
    return key;
  }
}
