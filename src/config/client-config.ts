import { readFileSync } from 'node:fs';
import type { ClientConfig } from 'pg';
import { ConfigurationError } from '../core/errors.js';
import type { DatabaseUrl } from './database-url.js';

/**
 * What `new pg.Client()` and `new pg.Pool()` need. `extra` wins. Reads the certificate files that the URL names, and
 * throws a ConfigurationError when one cannot be read.
 */
export function clientConfig(url: DatabaseUrl, extra: ClientConfig = {}): ClientConfig {
  const { options, application_name, connect_timeout, channel_binding, sslnegotiation } = url.parameters;
  return {
    host: url.host,
    port: url.port,
    database: url.database,
    user: url.user,
    ...(url.password === null ? {} : { password: url.password.reveal() }),
    ssl: tlsOptions(url),
    keepAlive: true,
    ...(options === undefined ? {} : { options }),
    ...(application_name === undefined ? {} : { application_name }),
    ...(connect_timeout === undefined ? {} : { connectionTimeoutMillis: Number(connect_timeout) * 1000 }),
    // pg uses SCRAM with channel binding when the server offers it; it cannot insist on it as libpq's `require` does.
    ...(channel_binding === 'require' || channel_binding === 'prefer' ? { enableChannelBinding: true } : {}),
    ...(sslnegotiation === 'direct' ? { sslnegotiation } : {}),
    ...extra,
  };
}

function tlsOptions(url: DatabaseUrl): NonNullable<ClientConfig['ssl']> {
  if (url.tls === 'disable') return false;
  const { sslrootcert, sslcert, sslkey } = url.parameters;
  return {
    rejectUnauthorized: url.tls !== 'no-verify',
    ...(url.tls === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    // `system` is libpq's name for the authorities that the system trusts: the default here.
    ...(sslrootcert && sslrootcert !== 'system' ? { ca: readPem('sslrootcert', sslrootcert) } : {}),
    ...(sslcert ? { cert: readPem('sslcert', sslcert) } : {}),
    ...(sslkey ? { key: readPem('sslkey', sslkey) } : {}),
    ...(url.keyPassphrase ? { passphrase: url.keyPassphrase.reveal() } : {}),
  };
}

function readPem(parameter: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigurationError(`The file that ${parameter} names, ${JSON.stringify(path)}, cannot be read.`, {
      code: 'certificate-unreadable',
      remedy: `Correct ${parameter} in the database URL, or the permissions of the file.`,
      cause,
    });
  }
}
