import { Gauge, type Registry } from 'prom-client';
import type { EconomyView } from '../core/economy.js';
import { METRIC_PREFIX } from './stream-metrics.js';

type Samples = readonly (readonly [Record<string, string>, number | null | undefined])[];

/** Registers economy mode and budgets; they are read when the registry is. What is unknown is left out of the scrape. */
export function economyMetrics(registry: Registry, read: () => EconomyView): void {
  const gauge = (name: string, help: string, labelNames: string[], values: (view: EconomyView) => Samples) =>
    new Gauge({
      name: METRIC_PREFIX + name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of values(read()))
          if (value !== null && value !== undefined) this.set(labels, value);
      },
    });
  gauge('economy_mode', '1 for the mode of economy mode, 0 for the others.', ['mode'], ({ rest }) =>
    rest === null ? [] : ['awake', 'resting', 'elsewhere'].map((mode) => [{ mode }, mode === rest.mode ? 1 : 0]),
  );
  gauge('economy_rests', 'Rests of the primary since the process started.', [], ({ rest }) => [[{}, rest?.rests]]);
  gauge(
    'economy_rested_seconds',
    'Time for which the primary was left alone since the process started, seconds.',
    [],
    ({ rest }) => [[{}, rest?.restedSeconds]],
  );
  gauge(
    'economy_last_wake_seconds',
    'From the use of the primary that ended the last rest until the slot was open, seconds.',
    [],
    ({ rest }) => [[{}, rest?.lastWakeSeconds]],
  );
  gauge(
    'neon_endpoint_state',
    "1 for the state that Neon's API gives for the primary, 0 for the others.",
    ['state'],
    ({ neon }) =>
      neon === null
        ? []
        : ['init', 'active', 'idle', 'disabled'].map((state) => [{ state }, state === neon.state ? 1 : 0]),
  );
  gauge('request_units_used', 'Request units of the secondary this month, by estimate.', ['class'], ({ budget }) =>
    Object.entries(budget?.requestUnits.byClass ?? {}).map(([name, units]) => [{ class: name }, units]),
  );
  gauge(
    'request_units_projected',
    'Request units of the secondary at the end of the month, by estimate.',
    [],
    ({ budget }) => [[{}, budget?.requestUnits.projected]],
  );
  gauge('request_units_budget', 'DB_MONTHLY_RU_BUDGET.', [], ({ budget }) => [[{}, budget?.requestUnits.budget]]);
  gauge('compute_hours_used', "The primary's compute-hours this month, by estimate.", [], ({ budget }) => [
    [{}, budget?.computeHours?.used],
  ]);
  gauge(
    'compute_hours_projected',
    "The primary's compute-hours at the end of the month, by estimate.",
    [],
    ({ budget }) => [[{}, budget?.computeHours?.projected]],
  );
  gauge('compute_hours_budget', 'DB_MONTHLY_COMPUTE_HOURS.', [], ({ budget }) => [[{}, budget?.computeHours?.budget]]);
  gauge(
    'budget_slowed',
    '1 while sweep and verify come more seldom, because a projection exceeds its budget.',
    [],
    ({ budget }) => [[{}, budget === null ? null : budget.slowed ? 1 : 0]],
  );
}
