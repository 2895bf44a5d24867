import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clientConfig } from '../../src/config/client-config.js';
import { DatabaseUrlError, isLoopback, parseDatabaseUrl } from '../../src/config/database-url.js';

const config = (text: string) => clientConfig(parseDatabaseUrl(text));

describe('parts of a URL', () => {
  it.each<[string, object]>([
    ['postgresql://u:p@h/d', { host: 'h', port: 5432, database: 'd', user: 'u', tls: 'disable' }],
    ['postgres://u:p@h:26257/d', { host: 'h', port: 26257 }],
    ['postgresql://u@[::1]:5433/d', { host: '::1', port: 5433, password: null }],
    ['postgresql://u:p@%2Fvar%2Frun/d', { host: '/var/run' }],
    ['postgresql://u:p@/d?host=/var/run&port=6000', { host: '/var/run', port: 6000, user: 'u' }],
    ['postgresql:///d?host=/tmp&user=u', { host: '/tmp', user: 'u', database: 'd' }],
    ['postgresql://user%40corp:p@h/my%20db', { user: 'user@corp', database: 'my db' }],
    ['postgresql://u:p@h/d?application_name=a%20b&foo=1&bar=2', { ignored: ['foo', 'bar'] }],
  ])('%s', (text, expected) => {
    expect(parseDatabaseUrl(text)).toMatchObject(expected);
  });

  it('displays neither password nor parameters', () => {
    expect(parseDatabaseUrl('postgresql://u:p%20w@h/d?options=secret').display).toBe('postgresql://u@h:5432/d');
  });

  it('keeps any password, and agrees with pg on it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0')),
        (password) => {
          const url = `postgresql://u:${encodeURIComponent(password)}@h/d`;
          expect(parseDatabaseUrl(url).password?.reveal()).toBe(password);
          expect(new pg.Client(config(url)).password).toBe(new pg.Client(url).password);
        },
      ),
    );
  });

  it('takes a lone % in a password for itself', () => {
    expect(parseDatabaseUrl('postgresql://u:100%@h/d').password?.reveal()).toBe('100%');
  });
});

describe('mistakes in a URL', () => {
  it.each<[string, RegExp]>([
    ['mysql://u:secret@h/d', /must begin with postgresql/],
    ['h/d', /must begin with postgresql/],
    ['postgresql://u:sec#ret@h/d', /percent-encoded/],
    ['postgresql://u:sec?ret@h/d', /percent-encoded/],
    ['postgresql://u:12/secret@h/d', /percent-encoded/],
    ['postgresql://u:secret@h1:1,h2:2/d', /percent-encoded/],
    ['postgresql://:secret@h/d', /names no user/],
    ['postgresql://u:secret@h', /names no database/],
    ['postgresql:///d?user=u', /names no host/],
    ['postgresql://u:secret@h:0/d', /port that is not a number from 1/],
    ['postgresql://u:secret@h/d?sslmode=allways', /sslmode other than/],
    ['postgresql://u:secret@h/d?channel_binding=yes', /channel_binding other than/],
    ['postgresql://u:secret@h/d?connect_timeout=soon', /connect_timeout that is not/],
    ['postgresql://u:secret@h/d?sslmode=verify-ca&uselibpqcompat=true', /without sslrootcert/],
  ])('%s', (text, expected) => {
    expect(() => parseDatabaseUrl(text)).toThrow(DatabaseUrlError);
    expect(() => parseDatabaseUrl(text)).toThrow(expected);
    expect(() => parseDatabaseUrl(text)).not.toThrow(/secret|ret@/);
  });
});

describe('connection settings', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'database-url-'));
    await writeFile(join(folder, 'ca.pem'), 'CA');
    await writeFile(join(folder, 'key.pem'), 'KEY');
  });
  afterAll(() => rm(folder, { recursive: true }));

  const warnings: Error[] = [];
  const listen = (warning: Error) => warnings.push(warning);
  afterEach(() => {
    process.off('warning', listen);
    warnings.length = 0;
  });

  it.each(['prefer', 'require', 'verify-ca', 'verify-full'])(
    'sslmode=%s checks everything, without a warning',
    async (mode) => {
      process.on('warning', listen);
      const settings = config(`postgresql://u:p@h/d?sslmode=${mode}&channel_binding=require`);
      const client = new pg.Client(settings);
      await new Promise((resolve) => setImmediate(resolve));
      expect(client.ssl).toEqual({ rejectUnauthorized: true });
      expect(settings.enableChannelBinding).toBe(true);
      expect(warnings).toEqual([]);
    },
  );

  it.each<[string, unknown]>([
    ['', false],
    ['sslmode=disable', false],
    ['sslmode=no-verify', { rejectUnauthorized: false }],
    ['sslmode=require&uselibpqcompat=true', { rejectUnauthorized: false }],
    ['sslrootcert=system', { rejectUnauthorized: true }],
    ['sslrootcert=CA', { rejectUnauthorized: true, ca: 'CA' }],
    [
      'sslmode=verify-full&sslrootcert=CA&sslcert=CA&sslkey=KEY',
      { rejectUnauthorized: true, ca: 'CA', cert: 'CA', key: 'KEY' },
    ],
    [
      'sslmode=require&uselibpqcompat=true&sslrootcert=CA',
      { rejectUnauthorized: true, ca: 'CA', checkServerIdentity: expect.any(Function) },
    ],
  ])('TLS of ?%s', (query, expected) => {
    const files = query.replaceAll('=CA', `=${folder}/ca.pem`).replaceAll('=KEY', `=${folder}/key.pem`);
    expect(config(`postgresql://u:p@h/d?${files}`).ssl).toEqual(expected);
  });

  it('keeps options, application_name and connect_timeout, and lets the caller override', () => {
    const url = parseDatabaseUrl('postgresql://u:p@h/d?options=endpoint%3Dep-1&application_name=app&connect_timeout=7');
    expect(clientConfig(url)).toMatchObject({
      options: 'endpoint=ep-1',
      application_name: 'app',
      connectionTimeoutMillis: 7000,
    });
    expect(clientConfig(url, { application_name: 'mine' }).application_name).toBe('mine');
  });
});

it.each([
  ['localhost', true],
  ['127.0.0.1', true],
  ['127.9.9.9', true],
  ['::1', true],
  ['/var/run/postgresql', true],
  ['127.0.0.1.example.com', false],
  ['10.0.0.1', false],
])('isLoopback %s: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});
