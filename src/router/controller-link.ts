/**
 * HTTP to the controller, with Node's own client: `fetch` is patched by some frameworks (caches, traces), and its
 * sockets would keep a finished program alive.
 */
import http from 'node:http';
import https from 'node:https';
import { StringDecoder } from 'node:string_decoder';
import type { LeaseAnswer, LeaseRequest, Route } from '../core/route.js';
import { SseParser } from './sse-parser.js';

const LARGEST_ANSWER = 256 * 1024;
/** The server sends something every two seconds; after this the connection counts as dead. */
const SILENT_MS = 7_000;

export class ControllerLink {
  readonly #base: URL;
  readonly #headers: Record<string, string>;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;

  constructor(url: string | URL, token: string | undefined) {
    this.#base = new URL(url);
    if (!this.#base.pathname.endsWith('/')) this.#base.pathname += '/';
    this.#headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
    const secure = this.#base.protocol === 'https:';
    this.#agent = secure ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true });
    this.#request = secure ? https.request : http.request;
  }

  /** @throws Error when there is no answer in time, or none that is a lease. */
  async lease(body: LeaseRequest, timeoutMs: number): Promise<LeaseAnswer> {
    const answer = await this.#json('POST', 'api/system/route/lease', JSON.stringify(body), timeoutMs);
    const { route, leaseMs } = answer.body as Partial<LeaseAnswer>;
    const parsed = parseRoute(route);
    if (answer.status !== 200 || parsed === null || !isCount(leaseMs)) {
      throw new Error(`The controller answered a lease request with ${answer.status}.`);
    }
    const renewMs = (answer.body as Partial<LeaseAnswer>).renewMs;
    return { route: parsed, leaseMs, renewMs: isCount(renewMs) ? renewMs : 0 };
  }

  /** Any JSON of the controller, with its status. */
  get(path: string, timeoutMs: number): Promise<{ status: number; body: object }> {
    return this.#json('GET', path, null, timeoutMs);
  }

  /** Calls `onRoute` for each route until the stream ends or the signal is aborted. Rejects only for a failure. */
  events(onRoute: (route: Route) => void, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const request = this.#open('GET', 'api/system/route/stream', {});
      const stop = () => request.destroy();
      signal.addEventListener('abort', stop, { once: true });
      const finish = (settle: () => void) => {
        signal.removeEventListener('abort', stop);
        request.destroy();
        settle();
      };
      const fail = (error: Error) => finish(() => (signal.aborted ? resolve() : reject(error)));
      request.setTimeout(SILENT_MS, () => request.destroy(new Error('The event stream is silent.')));
      request.on('error', fail);
      request.on('response', (response) => {
        if (response.statusCode !== 200) return fail(new Error(`The event stream answered ${response.statusCode}.`));
        const parser = new SseParser();
        const text = new StringDecoder('utf8');
        response.on('data', (chunk: Buffer) => {
          try {
            for (const event of parser.push(text.write(chunk))) {
              const route = event.event === 'route' ? parseRoute(parseJson(event.data)) : null;
              if (route !== null) onRoute(route);
            }
          } catch (error) {
            fail(error as Error);
          }
        });
        response.on('error', fail);
        response.on('close', () => finish(resolve));
      });
      request.end();
      if (signal.aborted) stop();
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  #open(method: string, path: string, headers: Record<string, string | number>): http.ClientRequest {
    const request = this.#request(new URL(path, this.#base), {
      method,
      agent: this.#agent,
      headers: { ...this.#headers, ...headers },
    });
    // The route is no reason for a program to go on; a query that waits for it has a timer that is.
    request.on('socket', (socket) => socket.unref());
    return request;
  }

  #json(method: string, path: string, body: string | null, timeoutMs: number) {
    return new Promise<{ status: number; body: object }>((resolve, reject) => {
      const headers =
        body === null ? {} : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
      const request = this.#open(method, path, headers);
      const timer = setTimeout(() => request.destroy(new Error('The controller did not answer in time.')), timeoutMs);
      timer.unref();
      const fail = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      request.on('error', fail);
      request.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > LARGEST_ANSWER) request.destroy(new Error('The answer of the controller is too long.'));
        });
        response.on('error', fail);
        response.on('end', () => {
          clearTimeout(timer);
          const value = parseJson(text);
          if (typeof value === 'object' && value !== null) resolve({ status: response.statusCode ?? 0, body: value });
          else reject(new Error(`The controller answered ${response.statusCode} without JSON.`));
        });
      });
      request.end(body ?? undefined);
    });
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Null for anything that is no route: what is malformed is ignored, never acted upon. */
export function parseRoute(value: unknown): Route | null {
  if (typeof value !== 'object' || value === null) return null;
  const { epoch, active, phase, graceMs, since, state } = value as Partial<Record<keyof Route, unknown>>;
  if (!isCount(epoch) || !isCount(graceMs)) return null;
  if (active !== 'primary' && active !== 'secondary') return null;
  if (phase !== 'open' && phase !== 'hold') return null;
  return { epoch, active, phase, graceMs, since: String(since), state: String(state) };
}
