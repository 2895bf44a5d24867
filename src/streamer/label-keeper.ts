/**
 * Follows renamed labels of enums. The WAL says nothing of a rename: it shows by a label that the secondary does not
 * know, or by the catalog, which is looked at every few seconds. The secondary's label is renamed before a row that
 * needs it is applied; what is still on its way under a former name is written under the present one.
 */
import type { ClientBase } from 'pg';
import { displayName, type TableName, tableKey } from '../core/ident.js';
import type { Log } from '../core/log.js';
import type { Lsn } from '../core/lsn.js';
import { classify } from '../core/policy.js';
import type { TargetLink } from '../meta/target-link.js';
import type { ValueConverter } from '../pipeline/binding.js';
import { arrayElements, arrayText } from '../reconcile/array-form.js';
import { type KnownEnum, knownEnum, learn, presentNames, relabel, sameLabels, settled } from '../schema/enum-labels.js';
import type { CatalogModel, TypeModel } from '../schema/model.js';
import type { SourcePool } from '../source/sql-pool.js';
import { LabelsStore } from './labels-store.js';
import type { TablesStore } from './tables-store.js';

/** Tables whose labels have changed: what is bound for them is bound anew. */
export interface Relabeled {
  readonly tables: readonly TableName[];
  readonly reload: boolean;
  readonly pause: string | null;
}

export interface LabelParts {
  readonly link: TargetLink;
  readonly source: SourcePool;
  readonly store: TablesStore;
  readonly stream: string;
  readonly log: Log;
  readonly onRelabeled: (change: Relabeled) => Promise<void>;
}

interface Carrier {
  readonly type: number;
  readonly array: boolean;
}

export class LabelKeeper {
  readonly #parts: LabelParts;
  readonly #store: LabelsStore;
  #known: Map<string, KnownEnum> | null = null;
  /** By the oid of a column's type: an enum, an array of it, a domain over it. */
  readonly #carriers = new Map<number, Carrier>();
  readonly #users = new Map<number, Map<string, TableName>>();
  /** Names that changes had and nobody knows. */
  readonly #strangers = new Map<number, Set<string>>();
  /** Types whose names of before nobody can write any more: null, or the position that has all that were written. */
  readonly #ended = new Map<string, Lsn | null>();
  /** Rises with every change of what names mean. */
  version = 0;

  constructor(parts: LabelParts) {
    this.#parts = parts;
    this.#store = new LabelsStore(parts.link, parts.stream);
  }

  /** Brings the secondary's labels up to the catalog's. Returns the types of which that was refused. */
  async follow(catalog: CatalogModel): Promise<ReadonlySet<string>> {
    this.#known ??= new Map((await this.#store.list()).map((each) => [tableKey(each), each]));
    for (const table of catalog.tables) for (const { type } of table.columns) this.#use(table, type);
    const refused = new Set<string>();
    for (const model of catalog.enums) {
      const now = knownEnum(model);
      if (!now) continue;
      const known = this.#known.get(tableKey(now));
      if (known && sameLabels(known, now)) continue;
      const there = known?.oid === now.oid && (await this.#store.present(now.schema, now.name)).length > 0;
      if (known && there) {
        if (!(await this.#change(known, now))) refused.add(displayName(now));
      } else await this.#keep(now);
    }
    return refused;
  }

  async #change(known: KnownEnum, now: KnownEnum): Promise<boolean> {
    const { link, log, onRelabeled, source, store } = this.#parts;
    const { horizon, quiet } = await source.use(horizonOf);
    const planned = async () => relabel(known, now, await this.#store.present(now.schema, now.name), horizon);
    let plan = await planned();
    const tables = this.#tablesOf(now);
    // First, so that a crash on the way does not forget it; it begins when the labels are right.
    if (plan.reload) for (const table of tables) await orderUnlessPaused(store, table);
    const what = `Label ${plan.renamed.join(', and ')} in enum ${displayName(now)} on the primary`;
    let refusal = plan.refused;
    while (refusal === null && plan.statements.length > 0) {
      const tried = plan.statements.join();
      const error = await run(link, plan.statements);
      if (error === null) break;
      // A statement that was repeated because its connection was lost finds its work done.
      plan = await planned();
      refusal = plan.refused ?? (plan.statements.join() === tried ? error : null);
    }
    if (refusal !== null) {
      const mend = plan.statements.length > 0 ? `; run there: ${plan.statements.join('; ')}` : '';
      const pause = `${what}, which the secondary refuses to follow: ${refusal}${mend}`;
      // Where it has both, reading the tables again is all that is needed.
      if (plan.refused !== null) await this.#keep(plan.next);
      await onRelabeled({ tables, reload: false, pause });
      return plan.refused !== null;
    }
    const unsettled = plan.next.unsettled && { ...plan.next.unsettled, reload: plan.reload && !quiet };
    await this.#keep({ ...plan.next, unsettled });
    if (plan.renamed.length > 0) {
      const names = tables.map(displayName);
      log.warn(
        { type: displayName(now), tables: names, renamed: plan.renamed },
        `${what}, and was renamed on the secondary${plan.reload ? `; ${names.join(', ')} are read again, because a name of before is in use` : ''}`,
      );
    }
    await onRelabeled({ tables, reload: plan.reload, pause: null });
    return true;
  }

  /** True when the primary has other labels than the secondary was made to have. @param table null: any of the stream's */
  async behind(client: ClientBase, table: TableName | null): Promise<boolean> {
    const known = [...(this.#known?.values() ?? [])].filter(
      ({ oid }) => table === null || this.#users.get(oid)?.has(tableKey(table)),
    );
    if (known.length === 0) return false;
    const { rows } = await client.query<{ type: string; labels: string }>(
      `SELECT enumtypid::text AS type, json_agg(json_build_array(oid::int8, enumlabel) ORDER BY enumsortorder)::text AS labels
       FROM pg_enum WHERE enumtypid = ANY ($1::text[]::oid[]) GROUP BY 1`,
      [known.map(({ oid }) => String(oid))],
    );
    const current = new Map(rows.map((row) => [Number(row.type), row.labels]));
    const text = (labels: string) => JSON.stringify(JSON.parse(labels));
    return known.some(({ labels, oid }) => {
      const found = current.get(oid);
      return found !== undefined && text(found) !== JSON.stringify(labels.map((each) => [each.oid, each.label]));
    });
  }

  /** Forgets names of before when no change can bring them any more. @param durable how far the secondary is */
  async settle(client: ClientBase, durable: Lsn, current: Lsn): Promise<void> {
    const open = [...(this.#known ?? [])].filter(([, known]) => known.unsettled !== null);
    if (open.length === 0) return;
    const { oldest } = await horizonOf(client);
    for (const [key, known] of open) {
      const { unsettled } = known;
      if (unsettled === null || oldest < BigInt(unsettled.horizon)) continue;
      const tables = this.#tablesOf(known);
      if (unsettled.reload) {
        await this.#parts.onRelabeled({ tables, reload: true, pause: null });
        await this.#keep({ ...known, unsettled: { ...unsettled, reload: false } });
      }
      // `current` was read a moment ago, perhaps before the last of them committed: the next look's is good.
      const end = this.#ended.get(key);
      if (end === undefined) this.#ended.set(key, null);
      else if (end === null) this.#ended.set(key, current);
      else if (durable >= end) {
        await this.#keep(settled(known));
        await this.#parts.onRelabeled({ tables, reload: false, pause: null });
      }
    }
  }

  /** What turns a value of this type into the secondary's; null: nothing needs to. */
  converter(typeOid: number): ValueConverter | null {
    const carrier = this.#carriers.get(typeOid);
    if (!carrier) return null;
    const known = [...(this.#known?.values() ?? [])].find(({ oid }) => oid === carrier.type);
    const names = known ? presentNames(known) : null;
    if (names === null) return null;
    const rename = (text: string) => names.get(text) ?? this.#strange(carrier.type, text);
    if (!carrier.array) return rename;
    return (text) => {
      const elements = arrayElements(text);
      return elements ? arrayText(elements.map((each) => (each === null ? null : rename(each)))) : text;
    };
  }

  /** The secondary refuses it; then it is seen whether it is newer than what is known, or lies between. */
  #strange(type: number, name: string): string {
    this.#strangers.set(type, (this.#strangers.get(type) ?? new Set()).add(name));
    return name;
  }

  /** Rows of the table were refused, and the primary's labels are known: names that are none of them are of before. */
  async learn(table: TableName): Promise<boolean> {
    let learned = false;
    for (const known of [...(this.#known?.values() ?? [])]) {
      if (!this.#users.get(known.oid)?.has(tableKey(table))) continue;
      const next = learn(known, [...(this.#strangers.get(known.oid) ?? [])]);
      this.#strangers.delete(known.oid);
      if (next === null) continue;
      await this.#keep(next);
      learned = true;
    }
    return learned;
  }

  async #keep(known: KnownEnum): Promise<void> {
    await this.#store.set(known);
    this.#known?.set(tableKey(known), known);
    this.#ended.delete(tableKey(known));
    this.version += 1;
  }

  #tablesOf({ oid }: KnownEnum): TableName[] {
    return [...(this.#users.get(oid)?.values() ?? [])];
  }

  #use(table: TableName, type: TypeModel): void {
    const { schema, name } = table;
    const carry = (inner: TypeModel, array: boolean): void => {
      if (inner.kind === 'array' && inner.element) carry(inner.element, true);
      else if (inner.kind === 'domain' && inner.base) carry(inner.base, array);
      else if (inner.kind === 'enum') {
        this.#carriers.set(type.oid, { type: inner.oid, array });
        const users = this.#users.get(inner.oid) ?? new Map<string, TableName>();
        this.#users.set(inner.oid, users.set(tableKey(table), { schema, name }));
      }
    };
    carry(type, false);
  }
}

async function orderUnlessPaused(store: TablesStore, table: TableName): Promise<void> {
  const stored = (await store.list()).find((each) => tableKey(each) === tableKey(table));
  if (stored && stored.state !== 'paused') await store.orderResync(table);
}

/** Null, or why the secondary refuses; whatever may pass is thrown. */
async function run(link: TargetLink, statements: readonly string[]): Promise<string | null> {
  try {
    await link.with(async (session) => {
      // Labels in a circle change as one where the secondary's schema changes are transactional.
      const whole = session.dialect.name === 'postgres' && statements.length > 1;
      for (const statement of whole ? [statements.join('; ')] : statements) await session.exec(statement);
    });
    return null;
  } catch (error) {
    const { action } = classify(error);
    if (action === 'retry' || action === 'reread-checkpoint' || !(error instanceof Error)) throw error;
    return error.message;
  }
}

/** `horizon`: no transaction that runs has an id as high. `oldest`: none that runs has a lower one. */
async function horizonOf(client: ClientBase): Promise<{ horizon: string; oldest: bigint; quiet: boolean }> {
  const { rows } = await client.query<{ oldest: string; horizon: string }>(
    `SELECT pg_snapshot_xmin(s)::text AS oldest, pg_snapshot_xmax(s)::text AS horizon FROM pg_current_snapshot() AS s`,
  );
  const { horizon = '0', oldest = '0' } = rows[0] ?? {};
  return { horizon, oldest: BigInt(oldest), quiet: horizon === oldest };
}
