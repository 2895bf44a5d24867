/** Every type of SPEC section 5 with its edges through a file, by value; and values that CockroachDB has no place for. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TEXT_FORM_SQL } from '../../src/source/session-settings.js';
import { createDatabasePair, type DatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { canonicalDump, dumpTable, query, withClient } from '../harness/sql.js';
import { psqlRestore, psqlVersion } from './support/psql.js';
import { testSeed } from './support/random.js';
import { importFile, runCli, transferEnvironment } from './support/transfer.js';
import { createTypeTable, generateTypeRows, insertTypeRows } from './support/type-rows.js';
import { TYPE_DDL, TYPE_GROUPS } from './support/type-values.js';

const ROWS = 40;

describeDialects('all types through a file', (dialect) => {
  const seed = testSeed();
  let folder: string;
  let pair: DatabasePair;
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'db-redundancy-types-'));
    pair = await createDatabasePair('types_file', dialect);
    await withClient(pair.primary.url, async (client) => {
      await client.query(`${TEXT_FORM_SQL}; ${TYPE_DDL} ${TYPE_GROUPS.map(createTypeTable).join('\n')}`);
      for (const group of TYPE_GROUPS) await insertTypeRows(client, group, generateTypeRows(group, seed, ROWS));
    });
    const loaded = await runCli(['init-secondary'], transferEnvironment(pair));
    expect(loaded, loaded.stderr).toMatchObject({ code: 0 });
    for (const side of ['primary', 'secondary'] as const) {
      const exported = await runCli(
        ['export', `--source=${side}`, `--output=${file(side)}`],
        transferEnvironment(pair),
      );
      expect(exported, exported.stderr).toMatchObject({ code: 0 });
    }
  }, 120_000);

  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  it.skipIf(psqlVersion === null)('psql restores the primary exactly, its own types included', async () => {
    await using fresh = await createDatabasePair('types_psql', dialect);
    await psqlRestore(fresh.primary.url, file('primary'));
    for (const { table } of TYPE_GROUPS) {
      expect(await dumpTable(fresh.primary.url, table), `${table}, seed ${seed}`).toEqual(
        await dumpTable(pair.primary.url, table),
      );
    }
    const types = `SELECT attrelid::regclass::text AS t, attname, format_type(atttypid, atttypmod) FROM pg_attribute
      WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace) ORDER BY 1, 2`;
    expect(await query(fresh.primary.url, types)).toEqual(await query(pair.primary.url, types));
    // What the standby's schema has is what psql makes of the same file there.
    await psqlRestore(fresh.secondary.url, file('primary'));
    for (const { table } of TYPE_GROUPS) {
      expect(await canonicalDump(fresh.secondary.url, table), `${table}, seed ${seed}`).toEqual(
        await canonicalDump(pair.secondary.url, table),
      );
    }
  });

  it('an import of the export of the secondary gives every table of the primary its values back', async () => {
    await using fresh = await createDatabasePair('types_back', dialect);
    // As the application's own migrations would: its types, its generated and identity columns, no rows.
    await query(fresh.primary.url, `${TEXT_FORM_SQL}; ${TYPE_DDL} ${TYPE_GROUPS.map(createTypeTable).join('\n')}`);
    await importFile(fresh, 'primary', file('secondary'), { force: true });
    for (const { table } of TYPE_GROUPS) {
      expect(await canonicalDump(fresh.primary.url, table), `${table}, seed ${seed}`).toEqual(
        await canonicalDump(pair.primary.url, table),
      );
    }
  });
});
