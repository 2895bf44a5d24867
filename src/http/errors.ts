import type { Context, ErrorHandler, NotFoundHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Logger } from '../log/logger.js';

/**
 * Every answer that is not a success is `{ "error": { "code", "message" } }`. A handler throws an HttpError for what
 * the caller did wrong; anything else that is thrown is logged and answered 503, never 500 and never with its text.
 */
export class HttpError extends Error {
  readonly status: ContentfulStatusCode;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  /** `code`: stable, lower-case with hyphens. `message`: one sentence for the caller. */
  constructor(status: ContentfulStatusCode, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string };
}

export function errorBody(code: string, message: string): ErrorBody {
  return { error: { code, message } };
}

export function respond(context: Context, error: HttpError): Response {
  return context.json(errorBody(error.code, error.message), error.status, { ...error.headers });
}

export const notFound: NotFoundHandler = (context) =>
  respond(context, new HttpError(404, 'not-found', 'There is no such route.'));

export function methodNotAllowedResponse(context: Context, methods: readonly string[]): Response {
  const allow = methods.join(', ');
  return respond(context, new HttpError(405, 'method-not-allowed', `This route takes ${allow}.`, { Allow: allow }));
}

/** For Hono's onError. The logger redacts. */
export function errorHandler(logger: Logger): ErrorHandler {
  return (error, context) => {
    if (error instanceof HttpError) return respond(context, error);
    if (error instanceof HTTPException && error.status < 500) {
      return respond(
        context,
        new HttpError(error.status as ContentfulStatusCode, 'bad-request', 'The request is malformed.'),
      );
    }
    logger.error(
      { err: error, method: context.req.method, path: context.req.path },
      'HTTP request failed unexpectedly',
    );
    const message = 'The request cannot be answered at the moment; the log says why.';
    return respond(context, new HttpError(503, 'unavailable', message));
  };
}
