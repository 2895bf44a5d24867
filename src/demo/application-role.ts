/**
 * The role of the demo's application on both servers: one of its own, as a real set-up should have it, because that is
 * what a fence can keep out. It may use whatever tables there are, and those that the streamer will create.
 */
import { randomBytes } from 'node:crypto';
import type { ClientBase } from 'pg';
import { quoteIdent, quoteLiteral } from '../core/ident.js';

const ROLE = 'waybank';
const RIGHTS = [
  ['SELECT, INSERT, UPDATE, DELETE', 'TABLES'],
  ['USAGE, SELECT', 'SEQUENCES'],
] as const;

/** @returns the connection string of the role for each of the given ones. */
export async function createApplicationRole(
  sides: readonly { readonly client: ClientBase; readonly url: string }[],
): Promise<string[]> {
  const password = randomBytes(12).toString('hex');
  const role = quoteIdent(ROLE);
  return Promise.all(
    sides.map(async ({ client, url }) => {
      await client.query(`CREATE ROLE ${role} LOGIN PASSWORD ${quoteLiteral(password)}`);
      for (const [rights, objects] of RIGHTS) {
        await client.query(`GRANT ${rights} ON ALL ${objects} IN SCHEMA public TO ${role}`);
        await client.query(`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ${rights} ON ${objects} TO ${role}`);
      }
      const own = new URL(url);
      own.username = ROLE;
      own.password = password;
      return own.href;
    }),
  );
}
