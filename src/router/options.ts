import type { PoolConfig } from 'pg';
import type { Clock } from '../core/clock.js';
import { ConfigurationError } from '../core/errors.js';

export interface RouterOptions {
  /** As for `new pg.Pool`. */
  readonly primary: PoolConfig;
  /** As for `new pg.Pool`; needed with `controllerUrl`. */
  readonly secondary?: PoolConfig | undefined;
  /** Address of the controller: `http://controller:8080`. Without it this is a plain pool on the primary. */
  readonly controllerUrl?: string | URL | undefined;
  /** DB_CONTROL_TOKEN of the controller, where it has one. */
  readonly token?: string | undefined;
  /** DB_STREAM_NAME of the controller; `db_redundancy` by default. */
  readonly stream?: string | undefined;
  /** Shown in the controller's list of routers; the primary's `application_name` by default. */
  readonly name?: string | undefined;
  /**
   * When neither the controller nor its control row answers beyond the lease: `trust` (default) goes on with the last
   * known route, `hold` lets queries wait and then refuses them.
   */
  readonly onAuthorityLost?: 'trust' | 'hold' | undefined;
  /** How long a query waits at most for the end of a flip, milliseconds; 15,000 by default. */
  readonly holdTimeoutMs?: number | undefined;
  /** How many queries of a pool may wait for it; 1,000 by default. */
  readonly maxWaiting?: number | undefined;
}

export interface CheckedOptions {
  readonly primary: PoolConfig;
  readonly secondary: PoolConfig;
  readonly controllerUrl: URL | null;
  readonly token: string | undefined;
  readonly stream: string;
  readonly name: string | null;
  readonly trust: boolean;
  readonly holdTimeoutMs: number;
  readonly maxWaiting: number;
}

/** For tests: time by hand. */
export interface RouterClocks {
  readonly clock: Clock;
  /** Its timers do not keep the process alive. */
  readonly background: Clock;
}

/** @throws ConfigurationError with all mistakes at once. */
export function checkOptions(options: RouterOptions): CheckedOptions {
  const mistakes: string[] = [];
  const {
    primary,
    secondary,
    controllerUrl,
    onAuthorityLost = 'trust',
    holdTimeoutMs = 15_000,
    maxWaiting = 1_000,
  } = options;
  const url = controllerUrl === undefined || controllerUrl === '' ? null : parseUrl(controllerUrl);
  if (typeof primary !== 'object' || primary === null) mistakes.push('primary must be a pg.PoolConfig');
  if (url === undefined) mistakes.push('controllerUrl must be an http or https URL such as http://controller:8080');
  if (url && (typeof secondary !== 'object' || secondary === null)) {
    mistakes.push('secondary must be a pg.PoolConfig where there is a controllerUrl');
  }
  if (onAuthorityLost !== 'trust' && onAuthorityLost !== 'hold')
    mistakes.push("onAuthorityLost must be 'trust' or 'hold'");
  if (!(holdTimeoutMs > 0 && holdTimeoutMs <= 3_600_000)) mistakes.push('holdTimeoutMs must be from 1 to 3600000');
  if (!(Number.isInteger(maxWaiting) && maxWaiting > 0)) mistakes.push('maxWaiting must be a whole number above 0');
  if (mistakes.length > 0) {
    throw new ConfigurationError(`The router's options are wrong: ${mistakes.join('; ')}.`, {
      code: 'router-options',
      remedy: 'Correct them; docs/router.md lists all options with an example.',
    });
  }
  return {
    primary,
    secondary: secondary ?? primary,
    controllerUrl: url ?? null,
    token: options.token === '' ? undefined : options.token,
    stream: options.stream ?? 'db_redundancy',
    name: (options.name ?? primary.application_name)?.slice(0, 200) ?? null,
    trust: onAuthorityLost === 'trust',
    holdTimeoutMs,
    maxWaiting,
  };
}

function parseUrl(value: string | URL): URL | undefined {
  if (!URL.canParse(String(value))) return undefined;
  const url = new URL(value);
  return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
}
