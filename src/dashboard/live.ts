/** The event stream: what it says now, and whether it is still coming. */
import type { TableStatus } from '../core/status.js';
import type { SystemView, TablesEvent } from '../core/system.js';
import { learnClock } from './times.js';

export type Connection = 'connecting' | 'live' | 'lost';

export interface Listener {
  system(view: SystemView): void;
  tables(tables: readonly TableStatus[]): void;
  connection(state: Connection): void;
}

/** A browser does not try again after an answer that is no event stream, such as a proxy's error page. */
const RETRY_MS = 3000;

export function listen(listener: Listener): void {
  const tables = new Map<string, TableStatus>();
  const source = new EventSource('api/system/events');
  const data = <T>(event: MessageEvent<string>): T => {
    learnClock(Number(event.lastEventId));
    return JSON.parse(event.data) as T;
  };
  source.addEventListener('open', () => listener.connection('live'));
  source.addEventListener('error', () => {
    listener.connection('lost');
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(() => listen(listener), RETRY_MS);
  });
  source.addEventListener('system', (event) => listener.system(data<SystemView>(event)));
  source.addEventListener('tables', (event) => {
    const news = data<TablesEvent>(event);
    if (news.all) tables.clear();
    for (const table of news.tables) tables.set(JSON.stringify([table.schema, table.name]), table);
    listener.tables([...tables.values()]);
  });
}
