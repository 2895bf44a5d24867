import type { TableName } from '../core/ident.js';
import type { Secret } from '../core/secret.js';
import type { DatabaseUrl } from './database-url.js';
import type { LogLevel } from './schema.js';

/** The whole configuration, checked. Durations are milliseconds; an interval of 0 means off where that is noted. */
export interface Config {
  readonly primary: DatabaseUrl;
  readonly secondary: DatabaseUrl;
  /** `*`: every table of the application. */
  readonly tables: readonly TableName[] | '*';
  readonly sync: { readonly intervalMs: number };
  readonly health: {
    readonly intervalMs: number;
    /** Distance of probes after a first failure; never above intervalMs. */
    readonly suspectIntervalMs: number;
    readonly timeoutMs: number;
  };
  readonly failover: {
    readonly auto: boolean;
    /** Consecutive failed probes. */
    readonly threshold: number;
    readonly maxLagMs: number;
    readonly cooldownMs: number;
  };
  readonly failback: {
    readonly auto: boolean;
    /** Consecutive successful probes. */
    readonly threshold: number;
    readonly drainTimeoutMs: number;
  };
  readonly stream: { readonly name: string; readonly slot: string; readonly publication: string };
  readonly apply: {
    readonly maxRows: number;
    readonly onError: 'pause-table' | 'halt';
    readonly largeTx: 'atomic' | 'chunked';
  };
  /** 0: off. */
  readonly verify: { readonly intervalMs: number };
  /** idleDetachMs 0: economy mode is off. */
  readonly economy: { readonly idleDetachMs: number; readonly maxDetachMs: number };
  readonly http: {
    readonly host: string;
    /** 0: a free port. */
    readonly port: number;
    /** null: control verbs are refused. */
    readonly controlToken: Secret | null;
  };
  readonly controllerUrl: string | null;
  readonly alertWebhookUrl: Secret | null;
  readonly neonApiKey: Secret | null;
  /** The primary's endpoint as Neon's API sees it; null where it is not to be asked. */
  readonly neon: {
    readonly apiUrl: string;
    readonly projectId: string;
    readonly endpointId: string;
  } | null;
  readonly budget: {
    readonly requestUnits: number;
    readonly computeHours: number;
    /** The stream is slowed too. */
    readonly hard: boolean;
  };
  readonly stateDir: string;
  readonly logLevel: LogLevel;
  /** Valid, but probably not meant: one sentence each, for the log at start. */
  readonly warnings: readonly string[];
}

/** Everything in a configuration that must not be printed: for createRedactor. */
export function secretsOf(config: Config): Secret[] {
  const { primary, secondary, http, alertWebhookUrl, neonApiKey } = config;
  return [
    ...[primary, secondary].flatMap((side) => [side.url, side.password, side.keyPassphrase]),
    ...[http.controlToken, alertWebhookUrl, neonApiKey],
  ].filter((secret) => secret !== null);
}
