/** What compose.yaml starts, but for Docker: its tables, its configuration, and a CockroachDB as the standby. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, inject, it } from 'vitest';
import { parse } from 'yaml';
import { createDatabasePair } from '../harness/cluster.js';
import { canonicalDump, query } from '../harness/sql.js';
import { runCli, transferEnvironment } from './support/transfer.js';

const read = (path: string) => readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

describe.skipIf(!inject('cockroach').available)('compose.yaml [cockroach]', () => {
  it('has tables that its service takes up with the configuration that it gets', async () => {
    await using pair = await createDatabasePair('compose', 'cockroach');
    await query(pair.primary.url, await read('deploy/compose-tables.sql'));
    const compose = parse(await read('compose.yaml')) as {
      services: { redundancy: { environment: Record<string, string> } };
    };
    const { DATABASE_URL: _, DATABASE_URL_SECONDARY: __, ...settings } = compose.services.redundancy.environment;
    const loaded = await runCli(['init-secondary'], transferEnvironment(pair, settings));
    expect(loaded, loaded.stderr).toMatchObject({ code: 0 });
    for (const table of ['users', 'invoices']) {
      expect(await canonicalDump(pair.secondary.url, table)).toEqual(await canonicalDump(pair.primary.url, table));
    }
  });
});
