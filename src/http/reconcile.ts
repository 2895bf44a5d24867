/** `POST /api/system/sync` and `/verify`: orders. They are answered at once; what came of them is in the tables' status. */
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import type { Guard } from '../core/failover.js';
import { displayName, type TableName } from '../core/ident.js';
import type { StreamSnapshot } from '../core/status.js';
import { readJsonObject } from './body.js';
import { HttpError } from './errors.js';
import type { RouteModule } from './routes.js';

/** What the routes need of the stream. */
export interface ReconcileControl {
  tables(): Promise<readonly TableName[]>;
  secondaryIsActive(): Promise<boolean>;
  /** Null: every table. */
  orderSync(table: TableName | null): Promise<void>;
  orderVerify(table: TableName | null, order: { readonly id: string; readonly repair: boolean }): Promise<void>;
  /** Told of each order that was taken. */
  ordered?(verb: 'sync' | 'verify', tables: readonly string[], reason: string | null): void;
}

const PATIENCE_MS = 10_000;
const COMMON = { table: 'string', reason: 'string', dryRun: 'boolean' } as const;

export function reconcileRoutes(control: ReconcileControl): RouteModule {
  return (app, { control: authorized }) => {
    app.post('/api/system/sync', authorized, async (context) => {
      const { dryRun, full, reason, table } = await fields(context, { ...COMMON, full: 'boolean' });
      if (table === undefined && full !== true)
        throw new HttpError(400, 'table-missing', 'Either "table" or "full": true is needed.');
      return inTime(async () => {
        const { chosen, guard, names } = await choose(control, table);
        if (dryRun === true) return context.json(dry(names, guard), 200);
        allowed(guard);
        await control.orderSync(chosen);
        control.ordered?.('sync', names, reason === undefined ? null : String(reason));
        return context.json({ ordered: names }, 202);
      });
    });
    app.post('/api/system/verify', authorized, async (context) => {
      const { dryRun, reason, repair, table } = await fields(context, { ...COMMON, repair: 'boolean' });
      return inTime(async () => {
        const { chosen, guard, names } = await choose(control, table);
        if (dryRun === true) return context.json(dry(names, guard), 200);
        allowed(guard);
        const id = randomUUID();
        await control.orderVerify(chosen, { id, repair: repair === true });
        control.ordered?.('verify', names, reason === undefined ? null : String(reason));
        return context.json({ id, ordered: names }, 202);
      });
    });
  };
}

/** Per-table state, with what the last sweep and verify found. */
export function tablesRoutes(snapshot: () => Promise<StreamSnapshot>): RouteModule {
  return (app) => {
    app.get('/api/system/tables', (context) =>
      inTime(async () => {
        const { lastSync = null, tables } = await snapshot();
        return context.json({ lastSync, tables });
      }),
    );
  };
}

async function choose(
  control: ReconcileControl,
  text: unknown,
): Promise<{ chosen: TableName | null; names: string[]; guard: Guard }> {
  const tables = await control.tables();
  const chosen =
    text === undefined
      ? null
      : tables.find((table) => displayName(table) === text || (table.schema === 'public' && table.name === text));
  if (chosen === undefined) throw new HttpError(404, 'unknown-table', 'The stream has no such table.');
  const active = await control.secondaryIsActive();
  const guard = { name: 'primary-active', ok: !active, value: active ? 'no' : 'yes', limit: 'yes', override: null };
  return { chosen, guard, names: (chosen ? [chosen] : tables).map(displayName) };
}

function allowed(guard: Guard): void {
  if (guard.ok) return;
  throw new HttpError(409, 'secondary-active', 'The secondary is the active database: it is not to be changed.');
}

/** What an order would do, and whether it would be taken. */
function dry(names: readonly string[], guard: Guard) {
  return { ordered: [], would: names, guards: [guard] };
}

/** The body's fields; 400 for one of another type, and for one that is not known: a typing error must not widen an order. */
async function fields<K extends string>(
  context: Context,
  types: Readonly<Record<K, 'string' | 'boolean'>>,
): Promise<Partial<Record<K, unknown>>> {
  const body = await readJsonObject(context);
  for (const [name, value] of Object.entries(body)) {
    const type = Object.hasOwn(types, name) ? types[name as K] : undefined;
    if (type === undefined)
      throw new HttpError(400, 'unknown-field', `Known fields: ${Object.keys(types).join(', ')}.`);
    if (typeof value !== type) throw new HttpError(400, 'malformed-field', `"${name}" must be a ${type}.`);
  }
  return body as Partial<Record<K, unknown>>;
}

/** The secondary's connection waits for it to come back; a caller does not. */
async function inTime(work: () => Promise<Response>): Promise<Response> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new HttpError(503, 'secondary-away', 'The secondary does not answer.')),
      PATIENCE_MS,
    );
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
