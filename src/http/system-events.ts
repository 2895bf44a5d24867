/**
 * `GET /api/system/events`: the system as server-sent events, once when the stream is opened and then whenever something
 * has changed, at most every second. Each reader gets what has changed since it was last written to: a slow one gets less
 * often, and nothing piles up behind it. `GET /api/system/lag-history`: the chart's past.
 */
import type { Context } from 'hono';
import { stream } from 'hono/streaming';
import type { TableStatus } from '../core/status.js';
import type { SystemView, TablesEvent } from '../core/system.js';
import { HttpError } from './errors.js';
import type { RouteModule } from './routes.js';
import { LOOK_MS, type SystemSource } from './system-source.js';

/** A comment line after so many quiet rounds, so that a dead connection is noticed on both ends. */
const QUIET_ROUNDS = 10;
const MOST_READERS = 64;

export function systemRoutes(source: SystemSource): RouteModule {
  return (app, { closing }) => {
    app.get('/api/system/lag-history', (context) => context.json(source.lagHistory()));
    app.get('/api/system/events', (context) => {
      if (source.watchers >= MOST_READERS)
        throw new HttpError(503, 'too-many-readers', `No more than ${MOST_READERS} readers are served at a time.`);
      return events(context, source, closing);
    });
  };
}

function events(context: Context, source: SystemSource, closing: AbortSignal): Response {
  context.header('Content-Type', 'text/event-stream');
  context.header('X-Accel-Buffering', 'no');
  const leave = source.watch();
  return stream(context, async (out) => {
    let wake: () => void = () => undefined;
    const stop = () => wake();
    closing.addEventListener('abort', stop, { once: true });
    out.onAbort(stop);
    const news = new News(source);
    try {
      for (let quiet = 0; !out.aborted && !closing.aborted; ) {
        const text = news.read();
        quiet = text === '' ? quiet + 1 : 0;
        if (text !== '') await out.write(text);
        else if (quiet % QUIET_ROUNDS === 0) await out.write(': still here\n\n');
        if (out.aborted || closing.aborted) break;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, LOOK_MS);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    } finally {
      leave();
      closing.removeEventListener('abort', stop);
    }
  });
}

/** What one reader has not seen yet. */
class News {
  readonly #source: SystemSource;
  #system = '';
  #tables: ReadonlyMap<string, string> | null = null;

  constructor(source: SystemSource) {
    this.#source = source;
  }

  read(): string {
    return this.#systemNews(this.#source.view()) + this.#tablesNews(this.#source.tables());
  }

  #systemNews(view: SystemView): string {
    const text = JSON.stringify(view);
    if (text === this.#system) return '';
    this.#system = text;
    return event('system', text);
  }

  #tablesNews(tables: readonly TableStatus[]): string {
    const known = this.#tables;
    const texts = new Map(tables.map((table) => [JSON.stringify([table.schema, table.name]), JSON.stringify(table)]));
    this.#tables = texts;
    const all = known === null || [...known.keys()].some((key) => !texts.has(key));
    const changed = all
      ? [...texts.values()]
      : [...texts].filter(([key, text]) => known.get(key) !== text).map(([, text]) => text);
    if (!all && changed.length === 0) return '';
    const body: TablesEvent = { all, tables: changed.map((text) => JSON.parse(text) as TableStatus) };
    return event('tables', JSON.stringify(body));
  }
}

/** `id` is the server's clock: a page's own may be wrong. */
function event(name: string, data: string): string {
  return `event: ${name}\nid: ${Date.now()}\ndata: ${data}\n\n`;
}
