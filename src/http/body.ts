import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HttpError, respond } from './errors.js';

/** No verb needs more than a few hundred bytes. */
export const LARGEST_BODY_BYTES = 64 * 1024;

/** 413 before a handler runs, by Content-Length, or while a chunked body is read. */
export function limitBody(): MiddlewareHandler {
  return bodyLimit({
    maxSize: LARGEST_BODY_BYTES,
    onError: (context) => {
      const message = `The body is larger than ${LARGEST_BODY_BYTES} bytes.`;
      // The rest of the body is not read: the connection cannot be used again.
      return respond(context, new HttpError(413, 'body-too-large', message, { Connection: 'close' }));
    },
  });
}

/** The body as a JSON object; an empty body counts as `{}`. Throws HttpError 400 for anything else. */
export async function readJsonObject(context: Context): Promise<Record<string, unknown>> {
  const text = await context.req.text();
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HttpError(400, 'malformed-json', 'The body is not valid JSON.');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpError(400, 'malformed-json', 'The body must be a JSON object.');
  }
  return value as Record<string, unknown>;
}
