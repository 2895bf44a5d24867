import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import type { Secret } from '../core/secret.js';
import { HttpError } from './errors.js';

/**
 * Guards control verbs. 403 when no token is configured (nobody may use them), 401 when the request carries none or
 * a wrong one. Hashes are compared, so that neither the content nor the length of the token shows in the time taken.
 */
export function requireToken(token: Secret | null): MiddlewareHandler {
  const expected = token === null ? null : digest(token.reveal());
  return async (context, next) => {
    if (expected === null) {
      throw new HttpError(
        403,
        'control-disabled',
        'Control is refused, because DB_CONTROL_TOKEN is not set on the server.',
      );
    }
    const given = /^Bearer +(\S+) *$/i.exec(context.req.header('authorization') ?? '')?.[1];
    if (given === undefined || !timingSafeEqual(digest(given), expected)) {
      const problem =
        given === undefined ? 'An Authorization: Bearer header is needed.' : 'The token is not the right one.';
      throw new HttpError(401, 'unauthorized', problem, { 'WWW-Authenticate': 'Bearer realm="db-redundancy"' });
    }
    await next();
  };
}

/** The same where a token is configured; where none is, everybody who reaches the address may ask. */
export function requireTokenIfSet(token: Secret | null): MiddlewareHandler {
  return token === null ? (_context, next) => next() : requireToken(token);
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}
