/** Sweeps and verifies of a stream in this process, as a test asks for them and waits for them. */
import { randomUUID } from 'node:crypto';
import type { TableName } from '../../../src/core/ident.js';
import type { StoredVerify } from '../../../src/reconcile/results-store.js';
import { waitFor } from '../../harness/wait.js';
import type { RunningStream } from './stream.js';

/** Verifies a table, or all of them, and gives the outcomes by name. */
export async function verify(
  stream: RunningStream,
  options: { readonly table?: string; readonly repair?: boolean; readonly timeoutMs?: number } = {},
): Promise<Map<string, StoredVerify>> {
  const { streamer } = stream;
  const only: TableName | null = options.table === undefined ? null : { schema: 'public', name: options.table };
  const id = randomUUID();
  await streamer.orderVerify(only, { id, repair: options.repair ?? false });
  const wanted = streamer.registry.all().filter(({ name }) => options.table === undefined || name === options.table);
  const done = await waitFor(
    async () => {
      const all = [...(await streamer.reconciler.state.results.verifies()).values()].filter(
        ({ runId }) => runId === id,
      );
      return all.length === wanted.length && all;
    },
    { what: `the verify of ${options.table ?? 'all tables'} is done`, timeoutMs: options.timeoutMs ?? 60_000 },
  );
  return new Map(done.map((outcome) => [outcome.name, outcome]));
}

export const counts = ({ missing, extra, different, repaired, unsettled, skipped }: StoredVerify) => ({
  ...{ missing, extra, different, repaired, unsettled, skipped },
});

export const EQUAL = { missing: 0, extra: 0, different: 0, repaired: 0, unsettled: 0, skipped: null };
