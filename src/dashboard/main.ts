/** The page: one stream of events in, panels that show it. */
import type { SystemView } from '../core/system.js';
import { showBudget } from './budget-panel.js';
import { byId, text } from './dom.js';
import { HistoryPanel } from './history-panel.js';
import { LagChart } from './lag-chart.js';
import { type Connection, listen } from './live.js';
import { OrderDialog } from './order-dialog.js';
import { rowPanels } from './rows-panel.js';
import { showSides } from './sides-panel.js';
import { SituationPanel } from './situation-panel.js';
import { TablesPanel } from './tables-panel.js';
import { refreshTimes } from './times.js';

const CONNECTION: Readonly<Record<Connection, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  lost: 'No connection, trying again',
};

const dialog = new OrderDialog(byId<HTMLDialogElement>('order'));
const situation = new SituationPanel(dialog);
const chart = new LagChart();
const tables = new TablesPanel(dialog);
const history = new HistoryPanel();
rowPanels();

let latest: SystemView | null = null;

listen({
  system(view) {
    latest = view;
    situation.show(view);
    showSides(view);
    showBudget(view);
    chart.show(view.lag);
    history.show(view.controller);
    dialog.show(view);
    tables.offer(view);
    byId('rows-card').hidden = view.controller === null;
  },
  tables(all) {
    tables.show(all);
    dialog.tables = all;
  },
  connection(state) {
    const badge = byId('connection');
    badge.dataset.state = state;
    text(badge, CONNECTION[state]);
    document.body.classList.toggle('stale', state === 'lost');
    if (state !== 'live') return;
    void chart.load();
    history.reload(latest?.controller ?? null);
  },
});

setInterval(refreshTimes, 1000);
