/** The real Applier on a real secondary, with errors that are put in its way at a chosen statement. */
import { type Checkpoint, readCheckpoint } from '../../src/apply/checkpoint.js';
import { TargetSession } from '../../src/apply/target-session.js';
import { readTargetTable } from '../../src/apply/target-table.js';
import { Backoff } from '../../src/core/backoff.js';
import { BinaryInsert } from '../../src/core/binary-row.js';
import { type BinaryDecoder, BUILT_IN_DECODERS } from '../../src/core/binary-values.js';
import type { Change, Relation, Row } from '../../src/core/change.js';
import { systemClock } from '../../src/core/clock.js';
import { Applier } from '../../src/pipeline/applier.js';
import { bind } from '../../src/pipeline/binding.js';
import type { TransactionPart } from '../../src/pipeline/entries.js';
import type { Step } from '../../src/pipeline/fold.js';
import { TableRegistry } from '../../src/pipeline/registry.js';
import { zeroCounters } from '../../src/streamer/counters.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { createStreamMetadata } from '../harness/metadata.js';
import type { SecondaryDialect } from '../harness/secondary-dialects.js';
import { query } from '../harness/sql.js';
import { TestLog } from './support/stream.js';

const DDL = `CREATE TABLE keyed (id int8 PRIMARY KEY, v text, big text); CREATE TABLE bag (a int8, b text); CREATE TABLE uniq (id int8 PRIMARY KEY, u int8 UNIQUE)`;

/** Where 40001 strikes: at the first statement whose text fits, so many times. */
export interface Fault {
  readonly at: RegExp;
  times: number;
}

const RAISE_40001 = `DO $$ BEGIN RAISE EXCEPTION 'forced' USING ERRCODE = '40001'; END $$`;

export class Rig implements AsyncDisposable {
  readonly pair: DatabasePair;
  readonly url: string;
  readonly log = new TestLog();
  readonly counters = zeroCounters();
  readonly registry = new TableRegistry();
  readonly applied: Step[] = [];
  /** Longest statement that was sent, bytes of text and values. */
  longestStatement = 0;
  fault: Fault | null = null;
  /** Runs when everything before COMMIT has been answered, and COMMIT was not sent yet. */
  beforeCommit: (() => Promise<void>) | null = null;
  applier: Applier;
  lsn = 1n;
  readonly #relations = new Map<string, Relation>();
  readonly #connectUrl: string;

  private constructor(pair: DatabasePair, connectUrl: string) {
    this.pair = pair;
    this.url = pair.secondary.url;
    this.#connectUrl = connectUrl;
    this.applier = this.newApplier({ lsn: 1n, commitAtMs: null, partialLsn: null, partialChanges: 0 });
  }

  /** @param via the connection string that the applier uses, by the database's own */
  static async create(dialect: SecondaryDialect, via: (url: string) => Promise<string> | string = (url) => url) {
    const pair = await createDatabasePair('retry', dialect);
    const { url } = pair.secondary;
    await createStreamMetadata(url);
    await query(
      url,
      `INSERT INTO db_redundancy.checkpoint (stream, slot, publication, system_id, lsn, epoch) VALUES ('s', 's', 'p', '7', '0/1', 1)`,
    );
    await query(url, DDL);
    const rig = new Rig(pair, await via(url));
    const session = await TargetSession.connect({ connectionString: url });
    for (const [i, name] of ['keyed', 'bag', 'uniq'].entries()) {
      const target = await readTargetTable(session.client, { schema: 'public', name }, session.dialect.table);
      if (!target) throw new Error(`${name} is missing`);
      const relation: Relation = {
        oid: i + 1,
        schema: 'public',
        name,
        replicaIdentity: target.primaryKey ? 'd' : 'f',
        columns: target.columns.map((column) => ({
          name: column.name,
          typeOid: column.typeOid,
          typmod: -1,
          isKey: target.primaryKey?.includes(column.name) ?? true,
        })),
      };
      const { binding } = bind(relation, target, { rename: (column) => column, converter: () => null });
      rig.registry.add(target, 'streaming').bindings.set(relation, binding);
      rig.#relations.set(name, relation);
    }
    await session.close();
    return rig;
  }

  newApplier(start: Checkpoint): Applier {
    return new Applier({
      stream: 's',
      epoch: 1,
      connect: () => this.#connect(),
      registry: this.registry,
      onError: 'halt',
      log: this.log,
      clock: systemClock,
      backoff: new Backoff({ initialMs: 1, maxMs: 20 }),
      counters: this.counters,
      signal: new AbortController().signal,
      onMissing: (binding, rows) => {
        throw new Error(`${rows.length} rows of ${binding.relation.name} are missing`);
      },
      pauseTable: () => Promise.reject(new Error('No table is to be paused.')),
      refresh: async () => false,
      relabeled: () => Promise.resolve(false),
      onApplied: (_, steps) => this.applied.push(...steps),
      onTrouble: () => undefined,
      start,
    });
  }

  insert(table: string, ...row: Row): Change {
    return { kind: 'insert', relation: this.relation(table), row };
  }

  /** An insert as it comes in binary; int8 and text only. */
  binaryInsert(table: string, ...row: Row): BinaryInsert {
    const relation = this.relation(table);
    const values = row.map((value, i) => {
      if (typeof value !== 'string') return Buffer.from([0xff, 0xff, 0xff, 0xff]);
      const bytes = Buffer.alloc(12);
      bytes.writeInt32BE(8);
      if (relation.columns[i]?.typeOid === 20) bytes.writeBigInt64BE(BigInt(value), 4);
      else bytes.writeInt32BE(Buffer.byteLength(value));
      return relation.columns[i]?.typeOid === 20 ? bytes : Buffer.concat([bytes.subarray(0, 4), Buffer.from(value)]);
    });
    const bytes = Buffer.concat([Buffer.from([0, row.length]), ...values]);
    const decoders = relation.columns.map(({ typeOid }) => BUILT_IN_DECODERS.get(typeOid) as BinaryDecoder);
    return new BinaryInsert({ relation, decoders }, bytes, 2, bytes.length);
  }

  update(table: string, row: Row, old: Row | null = null): Change {
    const relation = this.relation(table);
    const oldIs = old === null ? null : relation.replicaIdentity === 'f' ? 'full' : 'key';
    return { kind: 'update', relation, row, old, oldIs };
  }

  delete(table: string, ...old: Row): Change {
    const relation = this.relation(table);
    return { kind: 'delete', relation, old, oldIs: relation.replicaIdentity === 'f' ? 'full' : 'key' };
  }

  truncate(table: string): Change {
    return { kind: 'truncate', relations: [this.relation(table)], cascade: false, restartIdentity: false };
  }

  relation(table: string): Relation {
    return this.#relations.get(table) as Relation;
  }

  /** The changes as one source transaction, at the next position. */
  part(changes: readonly Change[]): TransactionPart {
    this.lsn += 100n;
    const commit = { commitLsn: this.lsn - 50n, endLsn: this.lsn, commitAtMs: 0, xid: 7 };
    return {
      kind: 'transaction',
      xid: 7,
      commitLsn: commit.commitLsn,
      commitAtMs: 0,
      first: true,
      commit,
      changes,
      bytes: 10,
      echo: false,
    };
  }

  goal(): Checkpoint {
    return { lsn: this.lsn, commitAtMs: 0, partialLsn: null, partialChanges: 0 };
  }

  async apply(...changes: readonly Change[]): Promise<void> {
    const part = this.part(changes);
    await this.applier.applyBatch([part], this.goal());
  }

  sql(text: string, params?: readonly unknown[]) {
    return query(this.url, text, params);
  }

  /** All rows of a table as texts, sorted. */
  async rows(table: string): Promise<string[]> {
    const names = this.relation(table).columns.map((column) => `coalesce(${column.name}::text, 'NULL')`);
    const rows = await this.sql(`SELECT ${names.join(` || ',' || `)} AS row FROM ${table} ORDER BY 1`);
    return rows.map((row) => row.row as string);
  }

  async checkpoint() {
    const session = await TargetSession.connect({ connectionString: this.url });
    try {
      return await readCheckpoint(session, 's');
    } finally {
      await session.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.applier.abandon();
    await this.pair[Symbol.asyncDispose]();
  }

  async #connect(): Promise<TargetSession> {
    const session = await TargetSession.connect({ connectionString: this.#connectUrl });
    const run = session.run.bind(session);
    let before: Promise<unknown> = Promise.resolve();
    session.run = async (statement) => {
      const bytes = statement.values.reduce(
        (sum, value) => sum + Buffer.byteLength(value ?? ''),
        statement.text.length,
      );
      this.longestStatement = Math.max(this.longestStatement, bytes);
      const sent = this.#send(session, run, statement, before);
      before = sent.catch(() => undefined);
      return sent;
    };
    return session;
  }

  async #send(
    session: TargetSession,
    run: TargetSession['run'],
    statement: Parameters<TargetSession['run']>[0],
    before: Promise<unknown>,
  ): ReturnType<TargetSession['run']> {
    const { fault, beforeCommit } = this;
    if (statement.text === 'COMMIT' && beforeCommit) {
      this.beforeCommit = null;
      await before;
      await beforeCommit();
      return run(statement);
    }
    if (fault && fault.times > 0 && fault.at.test(statement.text)) {
      fault.times -= 1;
      if (session.dialect.name === 'postgres') return run({ text: RAISE_40001, values: [] });
      // After the statement: before it the server would retry by itself, because nothing was answered yet. (The setting
      // inject_retry_errors_enabled is no choice: outside of a transaction it kills a server of version 22.1-alpha.)
      const executed = run(statement);
      const failing = run({ text: `SELECT crdb_internal.force_retry('1h')`, values: [] });
      failing.catch(() => undefined);
      await executed;
      return failing;
    }
    return run(statement);
  }
}
