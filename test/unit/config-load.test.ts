import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secretsOf } from '../../src/config/config.js';
import { mergeEnvironment, readEnvFile } from '../../src/config/env-file.js';
import { InvalidConfiguration, loadConfig } from '../../src/config/load.js';
import { environmentSchema } from '../../src/config/schema.js';
import { ConfigurationError } from '../../src/core/errors.js';

const VALID = {
  DATABASE_URL: 'postgresql://app:primary-pass@ep-x-1.azure.neon.tech/main?sslmode=verify-full',
  DATABASE_URL_SECONDARY: 'postgresql://app:secondary-pass@x.cockroachlabs.cloud:26257/main?sslmode=verify-full',
};

function mistakesOf(env: Record<string, string | undefined>): string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof InvalidConfiguration) return error.mistakes.map((each) => `${each.variable} ${each.problem}`);
    throw error;
  }
  return [];
}

describe('defaults', () => {
  it('are those of the specification', () => {
    expect(loadConfig(VALID)).toMatchObject({
      sync: { intervalMs: 300_000 },
      health: { intervalMs: 30_000, suspectIntervalMs: 30_000, timeoutMs: 5000 },
      failover: { auto: true, threshold: 3, maxLagMs: 300_000, cooldownMs: 600_000 },
      failback: { auto: true, threshold: 5, drainTimeoutMs: 30_000 },
      stream: { name: 'db_redundancy', slot: 'db_redundancy', publication: 'db_redundancy' },
      apply: { maxRows: 5000, onError: 'pause-table', largeTx: 'atomic' },
      verify: { intervalMs: 86_400_000 },
      economy: { idleDetachMs: 0, maxDetachMs: 86_400_000 },
      http: { host: '127.0.0.1', port: 8080, controlToken: null },
      controllerUrl: null,
      alertWebhookUrl: null,
      neonApiKey: null,
      stateDir: './.db-redundancy',
      logLevel: 'info',
      warnings: [],
    });
    expect(loadConfig(VALID).tables).toHaveLength(12);
    expect(loadConfig(VALID).tables[0]).toEqual({ schema: 'public', name: 'users' });
  });

  it('count for variables that are set to nothing', () => {
    expect(loadConfig({ ...VALID, DB_HTTP_PORT: '', DB_CONTROL_TOKEN: '  ', LOG_LEVEL: undefined }).http.port).toBe(
      8080,
    );
  });

  it('of slot and publication follow the name of the stream', () => {
    expect(loadConfig({ ...VALID, DB_STREAM_NAME: 'billing' }).stream).toEqual({
      name: 'billing',
      slot: 'billing',
      publication: 'billing',
    });
  });

  it('of the suspect interval never exceeds a shorter check interval', () => {
    expect(loadConfig({ ...VALID, DB_HEALTH_CHECK_INTERVAL_MS: '6000' }).health.suspectIntervalMs).toBe(6000);
  });
});

describe('mistakes', () => {
  it.each<[string, Record<string, string | undefined>, RegExp]>([
    ['no primary', { DATABASE_URL: undefined }, /^DATABASE_URL is missing$/],
    ['no secondary', { DATABASE_URL_SECONDARY: '' }, /^DATABASE_URL_SECONDARY is missing$/],
    ['no URL', { DATABASE_URL: 'host=x dbname=y' }, /^DATABASE_URL must begin with postgresql:\/\/$/],
    ['a unit', { DB_SYNC_INTERVAL_MS: '5m' }, /whole number of milliseconds from 1000 to 2147483647, got "5m"/],
    ['a fraction', { DB_HEALTH_CHECK_INTERVAL_MS: '1.5' }, /got "1.5"/],
    ['a negative number', { DB_COOLDOWN_MS: '-1' }, /got "-1"/],
    ['an exponent', { DB_APPLY_MAX_ROWS: '1e3' }, /got "1e3"/],
    ['more than a timer can wait', { DB_VERIFY_INTERVAL_MS: '2147483648' }, /got "2147483648"/],
    ['no failure at all', { DB_FAILOVER_THRESHOLD: '0' }, /DB_FAILOVER_THRESHOLD must be .* from 1 /],
    ['no success at all', { DB_FAILBACK_THRESHOLD: '0' }, /DB_FAILBACK_THRESHOLD must be .* from 1 /],
    ['perhaps', { DB_AUTO_FAILOVER: 'perhaps' }, /must be true or false, got "perhaps"/],
    ['an unknown policy', { DB_APPLY_ON_ERROR: 'ignore' }, /must be one of pause-table, halt, got "ignore"/],
    ['an unknown level', { LOG_LEVEL: 'loud' }, /must be one of fatal, .*, got "loud"/],
    ['a slot in capitals', { DB_REPLICATION_SLOT: 'Slot' }, /lower-case letters/],
    ['a long publication', { DB_PUBLICATION: 'p'.repeat(64) }, /at most 63 bytes/],
    ['a port too high', { DB_HTTP_PORT: '65536' }, /from 0 to 65535/],
    ['a short token', { DB_CONTROL_TOKEN: 'short' }, /at least 16 characters$/],
    ['a token with a line break', { DB_CONTROL_TOKEN: 'a-long-token-with\na-line-break' }, /printable ASCII/],
    ['a controller that is no URL', { DB_CONTROLLER_URL: 'localhost:8080' }, /must be an http:\/\/ or https:\/\/ URL/],
    ['a webhook of another kind', { DB_ALERT_WEBHOOK_URL: 'ftp://x/' }, /must be an http:\/\/ or https:\/\/ URL/],
    ['a table twice', { DB_SYNC_TABLES: 'users, public.users' }, /names public.users twice/],
    ['an empty table', { DB_SYNC_TABLES: 'users,,leads' }, /empty name at position 2/],
    ['a slot that Neon drops first', { DB_MAX_DETACH_MS: '144000000' }, /from 1000 to 129600000/],
    [
      'a suspect interval above the interval',
      { DB_HEALTH_SUSPECT_INTERVAL_MS: '30001' },
      /more than DB_HEALTH_CHECK_INTERVAL_MS \(30000\)/,
    ],
    [
      'a deadline above the interval',
      { DB_HEALTH_CHECK_INTERVAL_MS: '1000' },
      /DB_HEALTH_TIMEOUT_MS is 5000, more than/,
    ],
    [
      'a file that is missing',
      { DATABASE_URL: `${VALID.DATABASE_URL}&sslrootcert=/nowhere/ca.pem` },
      /sslrootcert names, "\/nowhere\/ca.pem", cannot be read/,
    ],
  ])('%s', (_name, env, expected) => {
    const mistakes = mistakesOf({ ...VALID, ...env });
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch(expected);
  });

  it('refuses the pooled host of Neon and names the direct one', () => {
    const url = 'postgresql://app:primary-pass@ep-x-1-pooler.azure.neon.tech/main';
    expect(mistakesOf({ ...VALID, DATABASE_URL: url })).toEqual([
      expect.stringMatching(
        /pooled host ep-x-1-pooler\.azure\.neon\.tech.*use the direct host ep-x-1\.azure\.neon\.tech$/,
      ),
    ]);
  });

  it.each([
    ['the same URL', VALID.DATABASE_URL, VALID.DATABASE_URL],
    ['another user', 'postgresql://a:x@Db:5432/m', 'postgresql://b:y@db/m'],
    ['two names of this machine', 'postgresql://a:x@localhost/m', 'postgresql://a:x@127.0.0.1:5432/m?sslmode=disable'],
    ['pooled and direct', 'postgresql://a:x@ep-1.neon.tech/m', 'postgresql://a:x@ep-1-pooler.neon.tech/m'],
  ])('refuses one database on both sides: %s', (_name, primary, secondary) => {
    expect(mistakesOf({ DATABASE_URL: primary, DATABASE_URL_SECONDARY: secondary })).toEqual([
      expect.stringContaining('names the same database as DATABASE_URL'),
    ]);
  });

  it('lists all of them at once, with examples, exit code 2 and without secrets', () => {
    const env = {
      ...VALID,
      DATABASE_URL: 'postgresql://app:primary-pass@host-without-database',
      DB_SYNC_TABLES: 'a.b.c,users,users',
      DB_SYNC_INTERVAL_MS: 'soon',
      DB_HEALTH_SUSPECT_INTERVAL_MS: '40000',
      DB_CONTROL_TOKEN: 'my-token',
    };
    const error = (() => {
      try {
        return loadConfig(env);
      } catch (thrown) {
        return thrown;
      }
    })() as InvalidConfiguration;
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.exitCode).toBe(2);
    expect(error.mistakes.map((each) => each.variable).sort()).toEqual([
      'DATABASE_URL',
      'DB_CONTROL_TOKEN',
      'DB_HEALTH_SUSPECT_INTERVAL_MS',
      'DB_SYNC_INTERVAL_MS',
      'DB_SYNC_TABLES',
      'DB_SYNC_TABLES',
    ]);
    expect(error.message).toContain('has 6 mistakes:');
    expect(error.message).toContain('Example: DB_SYNC_INTERVAL_MS=300000');
    expect(inspect(error)).not.toMatch(/primary-pass|my-token/);
  });

  it('every example is itself valid', () => {
    // The example of the token is a command: a literal one would be copied.
    const { DB_CONTROL_TOKEN: _token, ...shape } = environmentSchema.shape;
    for (const [name, schema] of Object.entries(shape)) {
      expect(schema.safeParse(schema.meta()?.example).success, name).toBe(true);
    }
  });
});

describe('warnings', () => {
  it.each<[string, Record<string, string>, RegExp]>([
    ['a rest that comes late', { DB_IDLE_DETACH_MS: '900000' }, /awake for 15 minutes after each use/],
    ['a key without the endpoint', { NEON_API_KEY: 'napi_x', NEON_PROJECT_ID: 'p' }, /NEON_ENDPOINT_ID/],
    ['no TLS', { DATABASE_URL: 'postgresql://a:b@db.example.com/m' }, /without TLS/],
    [
      'TLS that checks nothing',
      { DATABASE_URL: 'postgresql://a:b@db.example.com/m?sslmode=no-verify' },
      /does not check who/,
    ],
    [
      'parameters without effect',
      { DATABASE_URL: `${VALID.DATABASE_URL}&pgbouncer=true` },
      /no effect here: pgbouncer/,
    ],
    ['open to all without a token', { DB_HTTP_HOST: '0.0.0.0' }, /control verbs are refused/],
    ['a misspelt name', { DB_SYNC_INTERVALL_MS: '1' }, /DB_SYNC_INTERVAL_MS is/],
  ])('%s', (_name, env, expected) => {
    const { warnings } = loadConfig({ ...VALID, ...env });
    expect(warnings).toEqual([expect.stringMatching(expected)]);
  });

  it('none for variables of the application', () => {
    expect(loadConfig({ ...VALID, DB_HOST: 'x', DB_PASSWORD: 'y' }).warnings).toEqual([]);
  });
});

describe('secrets', () => {
  const config = loadConfig({
    ...VALID,
    DB_CONTROL_TOKEN: 'token-of-control',
    DB_ALERT_WEBHOOK_URL: 'https://hooks.example.com/T0/secret-path',
    NEON_API_KEY: 'napi_secret',
  });

  it('do not show when the configuration is printed', () => {
    for (const text of [JSON.stringify(config), inspect(config, { depth: 10, showHidden: true })]) {
      expect(text).not.toMatch(/-pass|token-of-control|secret-path|napi_secret/);
    }
    expect(config.primary.display).toBe('postgresql://app@ep-x-1.azure.neon.tech:5432/main');
  });

  it('are all listed for the redactor', () => {
    const listed = secretsOf(config).map((secret) => secret.reveal());
    for (const part of ['primary-pass', 'secondary-pass', 'token-of-control', 'secret-path', 'napi_secret']) {
      expect(
        listed.some((secret) => secret.includes(part)),
        part,
      ).toBe(true);
    }
  });
});

describe('--env-file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'env-file-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('is read as Node reads it, and the process wins', async () => {
    const path = join(folder, '.env');
    await writeFile(path, `# comment\nexport LOG_LEVEL=debug\nDB_STATE_DIR="/a b"\nDB_HTTP_PORT=1 # one\n`);
    const file = readEnvFile(path);
    expect(mergeEnvironment(file, { DB_HTTP_PORT: '2' })).toEqual({
      LOG_LEVEL: 'debug',
      DB_STATE_DIR: '/a b',
      DB_HTTP_PORT: '2',
    });
  });

  it('is a mistake of configuration when it is missing', () => {
    expect(() => readEnvFile(join(folder, 'none'))).toThrow(ConfigurationError);
  });
});
