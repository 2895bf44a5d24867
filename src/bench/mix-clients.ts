/**
 * The application of the live workloads, a process of its own as pgbench is: clients that each send a transaction, wait
 * for its answer, and send the next. The order, with the URL in it, comes from its parent, and so does the word to begin.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { RedundancyError } from '../core/errors.js';
import { connect } from './database.js';
import { Mix } from './mix.js';

export interface MixOrder {
  readonly url: string;
  readonly clients: number;
  /** Of all clients together; null: as fast as the source goes. */
  readonly perSecond: number | null;
  readonly seconds: number;
}

export type MixAnswer =
  | { readonly kind: 'connected' }
  | { readonly kind: 'written'; readonly transactions: number }
  | { readonly kind: 'failed'; readonly message: string; readonly remedy: string };

// A parent that is gone, however it ended, wants nothing more; and while it is there it has answers to read.
process.once('disconnect', () => process.exit());

const [order] = (await once(process, 'message')) as [MixOrder];
try {
  const clients = await connectAll(order);
  answer({ kind: 'connected' });
  await once(process, 'message');
  answer({ kind: 'written', transactions: await write(clients, order) });
  for (const client of clients) await client.end();
} catch (error) {
  const { message, remedy = '' } = error as RedundancyError;
  answer({ kind: 'failed', message, remedy });
}

function answer(word: MixAnswer): void {
  process.send?.(word);
}

async function connectAll({ url, clients }: MixOrder): Promise<Client[]> {
  const all = Array.from({ length: clients }, () => connect(url));
  return Promise.all(all).catch((cause: unknown) => {
    throw new RedundancyError(`The benchmark's clients cannot connect to the primary: ${messageOf(cause)}.`, {
      code: 'bench-clients',
      remedy: `See that it answers and has ${clients} connections left, then run the benchmark again.`,
      cause,
    });
  });
}

/** @returns transactions committed */
async function write(clients: readonly Client[], { perSecond, seconds }: MixOrder): Promise<number> {
  const began = performance.now();
  const ends = began + seconds * 1000;
  const spacing = perSecond === null ? 0 : 1000 / perSecond;
  let transactions = 0;
  const work = async (client: Client, index: number) => {
    const mix = new Mix(index, clients.length);
    // By due times, in turns: what a slow moment has missed is made up for.
    for (let due = began + index * spacing; ; due += clients.length * spacing) {
      const now = performance.now();
      if (Math.max(now, due) >= ends) return;
      if (due > now) await sleep(due - now);
      await client.query(mix.draw());
      transactions += 1;
    }
  };
  await Promise.all(clients.map(work)).catch((cause: unknown) => {
    throw new RedundancyError(`A transaction of the benchmark's clients has failed: ${messageOf(cause)}.`, {
      code: 'bench-clients',
      remedy: 'Look at the log of the primary, then run the benchmark again.',
      cause,
    });
  });
  return transactions;
}

/** Several addresses of one host fail together, without a message of their own. */
function messageOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return message || (code ?? String(error));
}
