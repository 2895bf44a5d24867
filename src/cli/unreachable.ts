/** Nobody to ask: no process, and no secondary. What can still be said, and what to do, instead of waiting for it. */
import { clientConfig } from '../config/client-config.js';
import { systemClock } from '../core/clock.js';
import { RedundancyError } from '../core/errors.js';
import { Database } from '../failover/database.js';
import type { Runtime } from './runtime.js';

/** @throws RedundancyError that says what the primary's mirror of the control row knows, where the primary answers */
export async function assertSecondaryAnswers({ config }: Runtime, base: string): Promise<void> {
  const { name } = config.stream;
  const { timeoutMs } = config.health;
  const open = (side: 'primary' | 'secondary') =>
    new Database({ side, purpose: 'status', clock: systemClock, config: clientConfig(config[side]) });
  const secondary = open('secondary');
  const primary = open('primary');
  try {
    const failure = await failureOf(secondary.run('SELECT 1 AS there', [], timeoutMs));
    if (failure === null) return;
    const mirror = primary
      .run('SELECT state, active, epoch::text FROM db_redundancy.control WHERE stream = $1', [name], timeoutMs)
      .then(([row]) => `The primary answers, and knows of ${row ? describe(row) : 'no controller'}.`)
      .catch((error: unknown) => `The primary says: ${messageOf(error)}.`);
    throw new RedundancyError(
      `No process answers at ${base}, and neither does the secondary: ${failure}. ${await mirror}`,
      {
        code: 'secondary-away',
        remedy:
          'Look at the dashboards of both databases (Neon: console.neon.tech, CockroachDB: cockroachlabs.cloud); npm run db:doctor says what fails from here. Then npm run db:serve: it goes on by itself when the active database answers.',
      },
    );
  } finally {
    await Promise.all([primary.close(), secondary.close()]);
  }
}

function describe(row: Readonly<Record<string, string | null>>): string {
  return `state ${row.state}, active ${row.active}, epoch ${row.epoch}`;
}

function failureOf(work: Promise<unknown>): Promise<string | null> {
  return work.then(
    () => null,
    (error: unknown) => messageOf(error),
  );
}

function messageOf(error: unknown): string {
  // Several addresses of one host fail together, without a message of their own.
  const { code, message } = error as { code?: string; message?: string };
  return message || (code ?? String(error));
}
