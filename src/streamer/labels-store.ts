/** The rows of db_redundancy.enum_labels for one stream. */
import type { TargetLink } from '../meta/target-link.js';
import type { KnownEnum, KnownLabel, Unsettled } from '../schema/enum-labels.js';

export class LabelsStore {
  readonly #link: TargetLink;
  readonly #stream: string;

  constructor(link: TargetLink, stream: string) {
    this.#link = link;
    this.#stream = stream;
  }

  async list(): Promise<KnownEnum[]> {
    const { rows } = await this.#link.run(
      'SELECT schema_name, type_name, type_oid::text, labels, unsettled FROM db_redundancy.enum_labels WHERE stream = $1',
      [this.#stream],
    );
    return rows.map((row) => ({
      schema: row.schema_name ?? '',
      name: row.type_name ?? '',
      oid: Number(row.type_oid),
      labels: JSON.parse(row.labels ?? '[]') as KnownLabel[],
      unsettled: row.unsettled ? (JSON.parse(row.unsettled) as Unsettled) : null,
    }));
  }

  async set({ labels, name, oid, schema, unsettled }: KnownEnum): Promise<void> {
    await this.#link.run(
      `INSERT INTO db_redundancy.enum_labels (stream, schema_name, type_name, type_oid, labels, unsettled) VALUES ($1, $2, $3, $4::int8, $5, $6)
       ON CONFLICT (stream, schema_name, type_name) DO UPDATE
       SET type_oid = excluded.type_oid, labels = excluded.labels, unsettled = excluded.unsettled, updated_at = now()`,
      [this.#stream, schema, name, String(oid), JSON.stringify(labels), unsettled && JSON.stringify(unsettled)],
    );
  }

  /** The secondary's own labels, in order; none: it has no such type. */
  async present(schema: string, name: string): Promise<string[]> {
    const { rows } = await this.#link.run(
      `SELECT e.enumlabel::text AS label FROM pg_catalog.pg_enum e JOIN pg_catalog.pg_type t ON t.oid = e.enumtypid
       JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = $1 AND t.typname = $2 ORDER BY e.enumsortorder`,
      [schema, name],
    );
    return rows.map((row) => row.label ?? '');
  }
}
