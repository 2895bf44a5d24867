import { Secret } from '../core/secret.js';

/**
 * What the TLS part of a URL means here. pg 8 reads prefer, require and verify-ca as verify-full and warns that pg 9
 * will not; the meaning is made explicit, so that it is the strict one in every version and nothing is printed.
 * - `disable`: no TLS (also when the URL says nothing).
 * - `verify-full`: prefer, require, verify-ca, verify-full: certificate chain and host name are checked.
 * - `verify-ca`, `no-verify`: host name, or nothing, is checked: only by sslmode=no-verify or uselibpqcompat=true.
 */
export type TlsMode = 'disable' | 'verify-full' | 'verify-ca' | 'no-verify';

export interface DatabaseUrl {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: Secret | null;
  /** Of the private key file that `sslkey` names. */
  readonly keyPassphrase: Secret | null;
  readonly tls: TlsMode;
  /** Query parameters of the URL that mean something here, as given. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Names of query parameters that mean nothing here. */
  readonly ignored: readonly string[];
  /** `postgresql://user@host:port/database`: for people, without password and parameters. */
  readonly display: string;
  /** The URL as it was given. */
  readonly url: Secret;
}

/** A mistake in a database URL. The message never holds the URL or a part of it that could be a secret. */
export class DatabaseUrlError extends Error {}

const TLS_FILES = ['sslrootcert', 'sslcert', 'sslkey', 'sslpassword'] as const;
const KNOWN = new Set<string>([
  ...['host', 'port', 'user', 'password', 'dbname', 'sslmode', 'uselibpqcompat', 'sslnegotiation', ...TLS_FILES],
  ...['channel_binding', 'options', 'application_name', 'connect_timeout'],
]);
const SECRET_PARAMETERS = new Set(['password', 'sslpassword']);
const CHANNEL_BINDING = ['disable', 'prefer', 'require'];

/** Parses a `postgresql://` URL with libpq's parameters. Throws a DatabaseUrlError. Reads no file. */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  if (!/^postgres(ql)?:\/\//i.test(text)) throw new DatabaseUrlError('must begin with postgresql://');
  const url = toUrl(text);
  const query = url.searchParams;
  const path = url.pathname.replace(/^\//, '');
  if (/[/@]/.test(path) || url.hash !== '') throw new DatabaseUrlError(ENCODE_PASSWORD);
  const host = query.get('host') || decode(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const database = query.get('dbname') || decode(path);
  const user = query.get('user') || decode(url.username);
  const password = query.get('password') || decode(url.password);
  const sslpassword = query.get('sslpassword');
  if (host === '') throw new DatabaseUrlError('names no host');
  if (user === '') throw new DatabaseUrlError('names no user');
  if (database === '') throw new DatabaseUrlError('names no database');
  const port = wholeNumber('port', query.get('port') || url.port || '5432', 1, 65_535);
  wholeNumber('connect_timeout', query.get('connect_timeout') ?? '0', 0, 2_147_483);
  oneOf('channel_binding', query.get('channel_binding'), CHANNEL_BINDING);
  oneOf('sslnegotiation', query.get('sslnegotiation'), ['postgres', 'direct']);
  const names = [...new Set(query.keys())];
  const kept = names.filter((name) => KNOWN.has(name) && !SECRET_PARAMETERS.has(name));
  const shownHost = host.includes(':') ? `[${host}]` : encodeURIComponent(host);
  return {
    host,
    port,
    database,
    user,
    password: password === '' ? null : new Secret(password),
    keyPassphrase: sslpassword ? new Secret(sslpassword) : null,
    tls: tlsMode(query),
    parameters: Object.fromEntries(kept.map((name) => [name, query.get(name) ?? ''])),
    ignored: names.filter((name) => !KNOWN.has(name)),
    display: `postgresql://${encodeURIComponent(user)}@${shownHost}:${port}/${encodeURIComponent(database)}`,
    url: new Secret(text),
  };
}

/** True for this machine: an address of the loopback network, its name, or a socket file. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1|\/.*)$/i.test(host);
}

function tlsMode(query: URLSearchParams): TlsMode {
  const mode = query.get('sslmode');
  const modes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];
  oneOf('sslmode', mode, modes);
  if (mode === null) {
    return query.has('sslrootcert') || query.get('sslnegotiation') === 'direct' ? 'verify-full' : 'disable';
  }
  if (mode === 'disable' || mode === 'no-verify') return mode;
  if (query.get('uselibpqcompat') !== 'true' || mode === 'verify-full') return 'verify-full';
  if (!query.has('sslrootcert')) {
    if (mode === 'verify-ca') throw new DatabaseUrlError('has sslmode=verify-ca without sslrootcert');
    return 'no-verify';
  }
  return mode === 'prefer' ? 'no-verify' : 'verify-ca';
}

const ENCODE_PASSWORD = 'is not a valid URL; # / ? @ and : in a password must be percent-encoded (# is %23, / is %2F)';

function toUrl(text: string): URL {
  const trimmed = text.trim();
  if (URL.canParse(trimmed)) return new URL(trimmed);
  // `user@/database?host=/socket` is valid for libpq only: give it a host that the parameter replaces.
  const withHost = trimmed.replace('@/', '@socket/');
  if (withHost !== trimmed && URL.canParse(withHost) && /[?&]host=/.test(withHost)) return new URL(withHost);
  throw new DatabaseUrlError(ENCODE_PASSWORD);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone % in a password stands for itself
  }
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new DatabaseUrlError(`has a ${name} that is not a number from ${least} to ${most}`);
  }
  return value;
}

function oneOf(name: string, value: string | null, allowed: readonly string[]): void {
  if (value !== null && !allowed.includes(value))
    throw new DatabaseUrlError(`has ${name} other than ${allowed.join(', ')}`);
}
