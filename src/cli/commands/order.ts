/**
 * `failover`, `failback`, `pause`, `resume`: by the controller that runs, else by this process, which then leads for as
 * long as it takes, under the same lease and the same guards.
 */
import { userInfo } from 'node:os';
import { createRouteAuthority } from '../../authority/authority.js';
import { systemClock } from '../../core/clock.js';
import { ConfigurationError, RedundancyError } from '../../core/errors.js';
import type { Guard, Order, OrderResult, Verb } from '../../core/failover.js';
import { leaseMsOf } from '../../failover/health.js';
import { createFailover, surveyOf } from '../failover.js';
import type { Runtime } from '../runtime.js';

export interface OrderOptions {
  readonly dryRun?: boolean;
  readonly reason?: string;
  readonly force?: boolean;
  readonly allowDataLoss?: boolean;
  readonly json?: boolean;
}

const ASK_MS = 3000;
/** A primary that has just come back must be caught up before anything can be said about a failback. */
const READY_WAIT_MS = 60_000;

export async function order(
  runtime: Runtime,
  verb: Verb,
  options: OrderOptions,
  output: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const wanted: Order = {
    verb,
    actor: `cli:${userName()}`,
    reason: options.reason ?? 'ordered on the command line',
    dryRun: options.dryRun ?? false,
    force: options.force ?? false,
    allowDataLoss: options.allowDataLoss ?? false,
  };
  const base = await runningController(runtime);
  const alone = wanted.dryRun ? surveyOf : directly;
  const result = base === null ? await alone(runtime, wanted, signal) : await ask(runtime, base, wanted, signal);
  output.write(options.json ? `${JSON.stringify(result, null, 2)}\n` : describe(wanted, result));
  if (result.refused) {
    throw new RedundancyError(`${verb} was refused: ${result.message}`, {
      code: 'refused',
      remedy: overrides(result.guards),
      exitCode: 3,
    });
  }
  if (!result.done && !wanted.dryRun)
    throw new RedundancyError(`${verb} was not done: ${result.message}`, { code: verb });
}

/** Its address, when one answers that is a controller; null when there is none. */
async function runningController({ config }: Runtime): Promise<URL | null> {
  const { host, port } = config.http;
  const local = `http://${host === '0.0.0.0' ? '127.0.0.1' : host}:${port}`;
  if (config.controllerUrl === null && port === 0) return null;
  const base = new URL(config.controllerUrl ?? local);
  const found = await fetch(new URL('/api/system/db-health', base), { signal: AbortSignal.timeout(ASK_MS) })
    .then((response) => response.status === 200 || response.status === 503)
    .catch(() => false);
  return found ? base : null;
}

async function ask(runtime: Runtime, base: URL, wanted: Order, signal: AbortSignal): Promise<OrderResult> {
  const token = runtime.config.http.controlToken;
  if (token === null) {
    throw new ConfigurationError(`A controller runs at ${base.origin}, and DB_CONTROL_TOKEN is not set here.`, {
      code: 'token-missing',
      remedy: 'Set DB_CONTROL_TOKEN to the token with which the controller was started.',
    });
  }
  const { verb, ...body } = wanted;
  const response = await fetch(new URL(`/api/system/${verb}`, base), {
    method: 'POST',
    headers: { Authorization: `Bearer ${token.reveal()}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
  const answer = (await response.json()) as OrderResult | { error: { code: string; message: string } };
  if (!('error' in answer)) return answer;
  throw new RedundancyError(`The controller at ${base.origin} answers: ${answer.error.message}`, {
    code: answer.error.code,
    remedy:
      answer.error.code === 'not-leading'
        ? 'Set DB_CONTROLLER_URL to the leading controller.'
        : 'Look at DB_CONTROL_TOKEN and DB_CONTROLLER_URL.',
    exitCode: response.status === 401 || response.status === 403 ? 2 : 1,
  });
}

async function directly(runtime: Runtime, wanted: Order, signal: AbortSignal): Promise<OrderResult> {
  const { config, logger } = runtime;
  const failover = createFailover(runtime, { authority: createRouteAuthority(), automatic: false });
  const { controller } = failover;
  const stop = new AbortController();
  const running = controller.run(AbortSignal.any([signal, stop.signal]));
  try {
    const patience = leaseMsOf(config.health.intervalMs, config.health.timeoutMs) + 5000;
    logger.info({}, 'No controller answers; this process leads for as long as the order takes');
    await controller.leading(AbortSignal.any([signal, AbortSignal.timeout(patience)])).catch(() => {
      const { secondary } = controller.snapshot();
      throw new RedundancyError(
        secondary.error === null
          ? 'Another controller holds the lease, and does not answer here.'
          : `The secondary, which holds the control row, does not answer: ${secondary.error}`,
        { code: 'no-lead', remedy: 'Set DB_CONTROLLER_URL and DB_CONTROL_TOKEN, or stop that controller.' },
      );
    });
    await controller.idle();
    if (wanted.verb === 'failback') {
      const deadline = systemClock.monotonic() + READY_WAIT_MS;
      while (controller.snapshot().state !== 'READY' && systemClock.monotonic() < deadline) {
        if (controller.snapshot().active === 'primary') break;
        await systemClock.sleep(200, signal);
      }
    }
    const result = await controller.order(wanted);
    await controller.idle();
    return result;
  } finally {
    stop.abort(new Error('done'));
    await running;
    await failover.close();
  }
}

function describe(wanted: Order, result: OrderResult): string {
  const lines = result.guards.map(
    (guard) => `  ${guard.ok ? '✓' : '✗'} ${guard.name}: ${guard.value} (${guard.limit})`,
  );
  const how = result.how === null ? '' : ` as a ${result.how}`;
  const head = wanted.dryRun
    ? `${wanted.verb}${how}, dry run: ${result.message}`
    : `${wanted.verb}${how}: ${result.message} State ${result.state}, epoch ${result.epoch}, ${result.tookMs} ms.`;
  return `${[...lines, head].join('\n')}\n`;
}

function overrides(guards: readonly Guard[]): string {
  const flags = new Set(guards.filter((guard) => !guard.ok).map((guard) => guard.override));
  const named = [...flags].flatMap((flag) => (flag === null ? [] : [`--${flag}`]));
  if (flags.has(null) || named.length === 0) return 'Mend what the guard names; it cannot be overridden.';
  return `A person may override this with ${named.join(' ')}.`;
}

/** A container may run under a number that has no name. */
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return 'unknown';
  }
}
