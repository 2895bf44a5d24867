/** PostgreSQL servers that a test stops, kills, and puts back to an older copy of themselves. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { EmbeddedServer } from '../../../src/demo/embedded.js';
import { query } from '../../harness/sql.js';

const run = promisify(execFile);

/** What the kernel has been given survives the death of the server's processes, and nobody cuts the power. */
export function ownServer(name: string, settings: Readonly<Record<string, string>> = {}): Promise<EmbeddedServer> {
  return EmbeddedServer.start({ name, settings: { fsync: 'off', wal_sender_timeout: '5s', ...settings } });
}

export type Ending = 'fast' | 'immediate' | 'kill -9';

export async function restarted(server: EmbeddedServer, how: Ending): Promise<void> {
  if (how === 'kill -9') await server.kill();
  else await server.stop(how);
  await server.startAgain();
}

/** As it is now; it is stopped for it. @returns folder, which goes with the server's own */
export async function copyOf(server: EmbeddedServer): Promise<string> {
  const copy = join(dirname(server.dataDir), 'copy');
  await server.stop('fast');
  await run('cp', ['-a', server.dataDir, copy]);
  await server.startAgain();
  return copy;
}

export async function restored(server: EmbeddedServer, copy: string): Promise<void> {
  await server.stop('immediate');
  await run('rm', ['-rf', server.dataDir]);
  await run('cp', ['-a', copy, server.dataDir]);
  await server.startAgain();
}

/** A standby of nobody: it answers, and takes no write until it is promoted. */
export async function asStandby(server: EmbeddedServer): Promise<() => Promise<void>> {
  await server.stop('fast');
  await run('cp', ['-p', join(server.dataDir, 'PG_VERSION'), join(server.dataDir, 'standby.signal')]);
  await server.startAgain();
  return async () => void (await query(server.url(), 'SELECT pg_promote()'));
}
