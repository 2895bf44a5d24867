import { Counter, Gauge, type Registry } from 'prom-client';
import { type ControllerSnapshot, FAILOVER_STATES } from '../core/failover.js';
import { METRIC_PREFIX } from './stream-metrics.js';

/** Registers the controller's numbers; they are read when the registry is. */
export function controllerMetrics(registry: Registry, read: () => ControllerSnapshot): void {
  const registers = [registry];
  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    values: (s: ControllerSnapshot) => readonly (readonly [Record<string, string>, number | null])[],
  ) =>
    new Gauge({
      name: METRIC_PREFIX + name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of values(read())) if (value !== null) this.set(labels, value);
      },
    });
  const counter = (
    name: string,
    help: string,
    labelNames: string[],
    values: (s: ControllerSnapshot) => readonly (readonly [Record<string, string>, number])[],
  ) =>
    new Counter({
      name: METRIC_PREFIX + name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of values(read())) this.inc(labels, value);
      },
    });
  const bySide = (s: ControllerSnapshot) =>
    [
      [{ database: 'primary' }, s.primary],
      [{ database: 'secondary' }, s.secondary],
    ] as const;

  gauge('failover_state', '1 for the state of the failover controller, 0 for the others.', ['state'], (s) =>
    FAILOVER_STATES.map((state) => [{ state }, state === s.state ? 1 : 0]),
  );
  gauge('control_epoch', 'Epoch of the control row.', [], (s) => [[{}, s.epoch]]);
  gauge('active_database', '1 for the active database, 0 for the other.', ['database'], (s) => [
    [{ database: 'primary' }, s.active === 'primary' ? 1 : 0],
    [{ database: 'secondary' }, s.active === 'secondary' ? 1 : 0],
  ]);
  gauge('controller_leads', '1 when this process leads as controller.', [], (s) => [[{}, s.leads ? 1 : 0]]);
  gauge('failover_paused', '1 when automatic failover and failback are paused.', [], (s) => [[{}, s.paused ? 1 : 0]]);
  gauge('controller_alerts', 'Alerts that wait for a person.', [], (s) => [[{}, s.alerts.length]]);
  gauge('database_up', '1 when the last write probe succeeded.', ['database'], (s) =>
    bySide(s).map(([labels, side]) => [labels, side.connected ? 1 : 0]),
  );
  gauge('probe_latency_seconds', 'Duration of the last successful write probe, seconds.', ['database'], (s) =>
    bySide(s).map(([labels, side]) => [labels, side.latencyMs === null ? null : side.latencyMs / 1000]),
  );
  counter('probes_total', 'Write probes.', ['database'], (s) =>
    bySide(s).map(([labels, side]) => [labels, side.probes]),
  );
  counter('probe_failures_total', 'Write probes that failed.', ['database'], (s) =>
    bySide(s).map(([labels, side]) => [labels, side.failedProbes]),
  );
  counter('failovers_total', 'Failovers to the secondary carried out by this process.', [], (s) => [[{}, s.failovers]]);
  counter('failbacks_total', 'Failbacks to the primary carried out by this process.', [], (s) => [[{}, s.failbacks]]);
}
