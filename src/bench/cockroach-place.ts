/** Where P6 finds its CockroachDB: one that is the secondary, or one of this run. */
import { type FoundCockroach, startCockroach } from './cockroach-server.js';
import { BenchDatabase } from './database.js';

export class CockroachPlace {
  readonly #found: FoundCockroach | BenchDatabase;
  /** Null before it was used. */
  version: string | null = null;

  constructor(found: FoundCockroach | BenchDatabase) {
    this.#found = found;
  }

  /** A server of this run runs only meanwhile: an idle one would take processors from whatever else is measured. */
  async use<T>(work: (database: BenchDatabase) => Promise<T>): Promise<T> {
    const found = this.#found;
    if (found instanceof BenchDatabase) return this.#work(found, work);
    const server = await startCockroach(found);
    try {
      const database = await BenchDatabase.open(server.url);
      try {
        return await this.#work(database, work);
      } finally {
        await database.close();
      }
    } finally {
      await server.close();
    }
  }

  #work<T>(database: BenchDatabase, work: (database: BenchDatabase) => Promise<T>): Promise<T> {
    this.version = database.version;
    return work(database);
  }
}
