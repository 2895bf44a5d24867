/** `status`: asks the running process; without one, reads what the secondary knows. */
import { readCheckpoint } from '../../apply/checkpoint.js';
import { systemClock } from '../../core/clock.js';
import type { EconomyView } from '../../core/economy.js';
import { economyWords } from '../../core/economy-words.js';
import { RedundancyError } from '../../core/errors.js';
import { formatLsn } from '../../core/lsn.js';
import type { VerifyResult } from '../../core/status.js';
import { Usage } from '../../economy/usage.js';
import { LinkUsageStore } from '../../economy/usage-store.js';
import { colorsFor } from '../../log/colors.js';
import { baseUrl } from '../remote.js';
import { createStreamer, type Runtime } from '../runtime.js';
import { assertSecondaryAnswers } from '../unreachable.js';
import { screenLines } from '../watch-view.js';
import { lookOnce } from './watch.js';

const CONTROL_SQL = 'SELECT state, epoch::text, active, reason FROM db_redundancy.control WHERE stream = $1';

const PATIENCE_MS = 3000;

export async function status(
  runtime: Runtime,
  options: { readonly json?: boolean },
  output: NodeJS.WriteStream,
): Promise<void> {
  const base = baseUrl(runtime.config);
  const seen = options.json ? null : await lookOnce(base, AbortSignal.timeout(PATIENCE_MS));
  if (seen !== null) {
    const lines = screenLines(seen, colorsFor(output), Date.now(), output.columns);
    // The last two are the foot of the screen.
    output.write(`${lines.slice(0, -2).join('\n')}\n`);
    return;
  }
  const live = await fetch(new URL('/api/system/replication-lag', base), { signal: AbortSignal.timeout(3000) })
    .then(async (response) => (await response.json()) as Record<string, unknown>)
    .catch(() => null);
  const health = await fetch(new URL('/api/system/db-health', base), { signal: AbortSignal.timeout(3000) })
    .then(async (response) => (response.status === 404 ? null : ((await response.json()) as Record<string, unknown>)))
    .catch(() => null);
  const economy = await fetch(new URL('/api/system/economy', base), { signal: AbortSignal.timeout(3000) })
    .then(async (response) => (response.ok ? ((await response.json()) as EconomyView) : null))
    .catch(() => null);
  if (live) {
    const control = health && {
      state: health.state,
      controlEpoch: health.epoch,
      activeDatabase: health.activeDatabase,
      ...(health.alerts ? { alerts: health.alerts } : {}),
    };
    const both = { ...live, ...control, ...(economy ? cost(economy, options.json) : {}) };
    output.write(options.json ? `${JSON.stringify(both, null, 2)}\n` : describe(both));
    return;
  }
  await assertSecondaryAnswers(runtime, base);
  const streamer = createStreamer(runtime);
  try {
    const checkpoint = await streamer.link
      .with((session) => readCheckpoint(session, runtime.config.stream.name))
      .catch((error: unknown) => {
        if ((error as { code?: string }).code === '42P01' || (error as { code?: string }).code === '3F000') return null;
        throw error;
      });
    if (!checkpoint) {
      throw new RedundancyError('This secondary has never been set up.', {
        code: 'not-set-up',
        remedy: 'Run db:init-secondary.',
      });
    }
    const tables = await streamer.store.list();
    const control = await streamer.link
      .with((session) => session.run({ text: CONTROL_SQL, values: [runtime.config.stream.name] }))
      .then(({ rows }) => rows[0] ?? null);
    const { budget: limits, stream } = runtime.config;
    const usage = new Usage({
      ...{ clock: systemClock, log: runtime.logger, budgets: limits, awake: () => false, snapshot: () => null },
      store: new LinkUsageStore(streamer.link, stream.name),
    });
    const budget = await usage.load().then(
      (known) => (known ? usage.view() : null),
      () => null,
    );
    const { state: found } = streamer.reconciler;
    await found.load();
    const stored = {
      status: 'not running',
      state: control?.state ?? 'no controller has run yet',
      controlEpoch: control?.epoch ? Number(control.epoch) : null,
      activeDatabase: control?.active ?? 'primary',
      reason: control?.reason ?? null,
      appliedLsn: formatLsn(checkpoint.lsn),
      lastAppliedCommitAt: checkpoint.commitAtMs === null ? null : new Date(checkpoint.commitAtMs).toISOString(),
      epoch: checkpoint.epoch,
      lastSync: found.lastSyncAt,
      ...(budget ? cost({ rest: null, neon: null, budget }, options.json) : {}),
      tables: tables.map(({ schema, name, state, reason }) => ({
        ...{ table: `${schema}.${name}`, state, reason },
        verified: verified(found.statusOf({ schema, name }).lastVerify),
      })),
    };
    output.write(
      options.json
        ? `${JSON.stringify(stored, null, 2)}\n`
        : `No process answers at ${base}; this is what the secondary remembers.\n${describe(stored)}`,
    );
  } finally {
    await streamer.link.close();
    await streamer.source.close();
  }
}

function cost(economy: EconomyView, json = false): object {
  return json ? { economy } : { cost: economyWords(economy) };
}

/** The last verify in a few words; null before the first. */
function verified(result: VerifyResult | undefined): string | null {
  if (!result) return null;
  const { at, different, extra, missing, repaired, skipped } = result;
  if (skipped !== null) return `not verified at ${at}: ${skipped}`;
  const left = missing + extra + different - repaired;
  return left === 0 ? `equal at ${at}` : `${left} rows differed at ${at}`;
}

function describe(facts: Record<string, unknown>): string {
  const lines = Object.entries(facts).flatMap(([name, value]) => {
    if (Array.isArray(value) && value.length > 0)
      return [
        `${name}:`,
        ...value.map((each) =>
          typeof each === 'string'
            ? `  ${each}`
            : `  ${Object.values(each as object)
                .filter((part) => part !== null)
                .join('  ')}`,
        ),
      ];
    if (typeof value === 'object' && value !== null)
      return [
        `${name}: ${Object.entries(value)
          .map(([key, part]) => `${key} ${part}`)
          .join(', ')}`,
      ];
    return [`${name}: ${value ?? '-'}`];
  });
  return `${lines.join('\n')}\n`;
}
