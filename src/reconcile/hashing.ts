/** Which hash two servers share: found by asking both, not by their versions. */
import type { ClientBase } from 'pg';
import type { Aligned } from './aligned.js';
import type { Hashing } from './row-hash.js';

/** Letters of one, two, three and four bytes: servers with different encodings hash them differently. */
const PROBE = `hashtextextended(ROW('aé€😀,"', NULL, 1.50)::text, 0)::text`;

export async function chooseHashing({ primary, secondary }: Aligned): Promise<Hashing> {
  if (secondary.dialect.name !== 'postgres') return 'md5';
  const [ours, theirs] = await Promise.all([probe(primary), probe(secondary.client)]);
  return ours !== null && ours === theirs ? 'row' : 'md5';
}

/** Null where the server cannot: an encoding without these letters. */
async function probe(client: ClientBase): Promise<string | null> {
  await client.query('SAVEPOINT dbr_probe');
  try {
    const { rows } = await client.query<{ hash: string }>(`SELECT ${PROBE} AS hash`);
    return rows[0]?.hash ?? null;
  } catch {
    await client.query('ROLLBACK TO SAVEPOINT dbr_probe');
    return null;
  }
}
