import type { EconomyView } from '../core/economy.js';
import type { ControllerSnapshot, ControllerSurface, RecoveryProgress, SideHealth } from '../core/failover.js';
import type { StatusSource, StreamSnapshot } from '../core/status.js';
import type { RouteModule } from './routes.js';

/** The answer of `GET /api/system/db-health` (SPEC section 9), field by field. */
export interface DbHealth {
  readonly status: 'healthy' | 'degraded' | 'failed_over' | 'unhealthy';
  readonly primary: SideAnswer;
  readonly secondary: SideAnswer;
  readonly activeDatabase: 'primary' | 'secondary';
  readonly lastSync: string | null;
  readonly syncStatus: SyncStatus;
  /** `STARTING`: the control row has not been read yet. */
  readonly state: string;
  readonly epoch: number;
  readonly replication: { readonly lagSeconds: number; readonly lagBytes: number };
  /** On the way back to the primary: how far it is with what was written on the secondary; not there otherwise. */
  readonly recovery?: RecoveryProgress;
  /** Economy mode and budgets; not there where neither is known. */
  readonly economy?: EconomyView;
  /** What a person has to know, with what to run; not there when there is nothing. */
  readonly alerts?: readonly string[];
}

interface SideAnswer {
  readonly connected: boolean;
  readonly latency: number | null;
  readonly lastCheck: string | null;
}

export type SyncStatus = 'healthy' | 'lagging' | 'stalled' | 'paused' | 'error';

export interface HealthSources {
  readonly controller: Pick<ControllerSurface, 'snapshot' | 'replication'>;
  /** The stream of this process; null where it runs elsewhere. */
  readonly stream: Pick<StatusSource, 'snapshot'> | null;
  /** ISO 8601; when the two sides were last compared or a change last arrived. */
  readonly lastSync?: () => string | null;
  readonly economy?: () => EconomyView;
  /** Alerts quote errors of drivers, which may show a connection string. */
  readonly redact: (text: string) => string;
}

/** Behind by more than this is not healthy any more. */
const LAGGING_SECONDS = 60;

export function dbHealthRoutes(sources: HealthSources): RouteModule {
  return (app) => {
    app.get('/api/system/db-health', async (context) => {
      const health = await readHealth(sources);
      return context.json(health, health.status === 'unhealthy' ? 503 : 200);
    });
  };
}

async function readHealth({ controller, economy, lastSync, redact, stream }: HealthSources): Promise<DbHealth> {
  const snapshot = controller.snapshot();
  const streamed = stream?.snapshot() ?? null;
  const gap = streamed ?? (await controller.replication());
  const replication = { lagSeconds: gap?.lagSeconds ?? 0, lagBytes: gap?.lagBytes ?? 0 };
  const syncStatus = streamed ? statusOf(streamed) : elsewhere(snapshot, gap?.lagSeconds ?? null);
  // A controller that has not seen the control row yet knows of no state: a guess would pass for one.
  const known = snapshot.epoch > 0;
  return {
    status: known ? judge(snapshot, syncStatus) : 'unhealthy',
    primary: sideOf(snapshot.primary),
    secondary: sideOf(snapshot.secondary),
    activeDatabase: snapshot.active,
    lastSync: lastSync ? lastSync() : (streamed?.lastAppliedCommitAt ?? null),
    syncStatus,
    state: known ? snapshot.state : 'STARTING',
    epoch: snapshot.epoch,
    replication,
    ...(snapshot.recovery ? { recovery: told(snapshot.recovery, redact) } : {}),
    ...(economy ? { economy: economy() } : {}),
    ...(snapshot.alerts.length > 0 ? { alerts: snapshot.alerts.map(redact) } : {}),
  };
}

function told(progress: RecoveryProgress, redact: (text: string) => string): RecoveryProgress {
  return { ...progress, trouble: progress.trouble === null ? null : redact(progress.trouble) };
}

function judge({ active, primary, secondary }: ControllerSnapshot, sync: SyncStatus): DbHealth['status'] {
  const usable = active === 'primary' ? primary.connected : secondary.connected;
  if (!usable) return 'unhealthy';
  if (active === 'secondary') return 'failed_over';
  return secondary.connected && sync === 'healthy' ? 'healthy' : 'degraded';
}

function sideOf({ connected, lastCheck, latencyMs }: SideHealth): SideAnswer {
  return { connected, latency: latencyMs === null ? null : Math.round(latencyMs), lastCheck };
}

function statusOf({ lagSeconds, status }: StreamSnapshot): SyncStatus {
  switch (status) {
    case 'streaming':
      return lagSeconds > LAGGING_SECONDS ? 'lagging' : 'healthy';
    case 'detached':
      return 'healthy';
    case 'snapshot':
      return 'lagging';
    case 'paused':
    case 'fenced':
      return 'paused';
    case 'error':
      return 'error';
    default:
      return 'stalled';
  }
}

function elsewhere({ active }: ControllerSnapshot, lagSeconds: number | null): SyncStatus {
  if (active === 'secondary') return 'paused';
  if (lagSeconds === null) return 'stalled';
  return lagSeconds > LAGGING_SECONDS ? 'lagging' : 'healthy';
}
