/** What a newcomer can do after the demo. */
import type { DemoView } from './demo-view.js';

export interface Addresses {
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
  /** Connection strings. The servers are thrown away, and so their passwords are no secrets. */
  readonly primary: string;
  readonly secondary: string;
}

/** @param addresses of what goes on running; null when everything ends now */
export function nextSteps(view: DemoView, addresses: Addresses | null): void {
  if (addresses === null) {
    view.next('What to try next', [
      [
        'npm run demo -- --keep',
        'the same, but it stays until Ctrl-C and shows where to look: dashboard, replication lag, metrics, both databases',
      ],
    ]);
  } else {
    const { origin, primary, secondary } = addresses;
    view.next('What to try next, in another terminal', [
      [`${origin}/`, 'the dashboard, in a browser'],
      [`curl ${origin}/api/system/db-health`, 'which database is active, and whether both are well'],
      [`curl ${origin}/api/system/replication-lag`, 'how far the standby is behind, as JSON'],
      [`curl ${origin}/metrics`, 'numbers for Prometheus'],
      [`psql '${primary}'`, 'the primary: change a row in any of the tables'],
      [`psql '${secondary}'`, 'the standby: find the change there'],
    ]);
  }
  view.next('With databases of your own: put their URLs into DATABASE_URL and DATABASE_URL_SECONDARY, then', [
    ['npm run db:doctor', 'checks both of them, and says how to mend what is not right'],
    ['npm run db:init-secondary', 'creates the tables on the standby, copies every row, and counts them on both sides'],
    ['npm run db:serve', 'keeps the standby up to date from then on'],
  ]);
}
