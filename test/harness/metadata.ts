/** The stream's part of the metadata schema, for tests that make it often: each schema change costs CockroachDB a while. */
import { readFile } from 'node:fs/promises';
import { query } from './sql.js';

export async function createStreamMetadata(url: string): Promise<void> {
  await query(url, 'CREATE SCHEMA db_redundancy');
  await query(url, await migration('0001_stream.sql'));
  // Only its first statement is about the stream.
  const [held = ''] = (await migration('0003_failover.sql')).split(';');
  await query(url, held);
}

function migration(name: string): Promise<string> {
  return readFile(new URL(`../../migrations/secondary/${name}`, import.meta.url), 'utf8');
}
