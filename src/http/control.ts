import type { Context } from 'hono';
import { z } from 'zod';
import { RedundancyError } from '../core/errors.js';
import type { ControllerSurface, Verb } from '../core/failover.js';
import { readJsonObject } from './body.js';
import { HttpError } from './errors.js';
import type { RouteModule } from './routes.js';

const VERBS: readonly Verb[] = ['failover', 'failback', 'pause', 'resume'];

const orderBody = z.strictObject({
  reason: z.string().trim().min(1).max(500).optional(),
  actor: z.string().trim().min(1).max(100).optional(),
  dryRun: z.boolean().default(false),
  force: z.boolean().default(false),
  allowDataLoss: z.boolean().default(false),
});

/**
 * `POST /api/system/failover`, `/failback`, `/pause`, `/resume`: answers when the order has been carried out (200), or
 * was refused by a guard, or undone (409); the body says which, with every guard.
 */
export function controlRoutes(controller: Pick<ControllerSurface, 'order'>): RouteModule {
  return (app, { control }) => {
    for (const verb of VERBS) {
      app.post(`/api/system/${verb}`, control, async (context) => {
        const { actor = 'http', reason = 'ordered over HTTP', ...flags } = await readOrder(context);
        try {
          const result = await controller.order({ verb, actor, reason, ...flags });
          const well = result.done || (flags.dryRun && !result.refused);
          return context.json(result, well ? 200 : 409);
        } catch (error) {
          if (!(error instanceof RedundancyError)) throw error;
          throw new HttpError(error.code === 'not-leading' ? 409 : 503, error.code, error.message);
        }
      });
    }
  };
}

async function readOrder(context: Context): Promise<z.output<typeof orderBody>> {
  const parsed = orderBody.safeParse(await readJsonObject(context));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new HttpError(
    400,
    'malformed-order',
    `The body is malformed: ${issue?.path.join('.') ?? ''} ${issue?.message}.`,
  );
}

/** What happened: `?limit=` newest entries, 100 by default. */
export function listRoutes(controller: Pick<ControllerSurface, 'history' | 'conflicts' | 'deadLetters'>): RouteModule {
  return (app, { tokenIfSet }) => {
    app.get('/api/system/history', async (context) => context.json(await controller.history(limitOf(context))));
    // Rows of the application: not for everybody who reaches the port.
    app.get('/api/system/conflicts', tokenIfSet, async (context) =>
      context.json(await controller.conflicts(limitOf(context))),
    );
    app.get('/api/system/dead-letters', tokenIfSet, async (context) =>
      context.json(await controller.deadLetters(limitOf(context))),
    );
  };
}

function limitOf(context: Context): number {
  const given = context.req.queries('limit');
  if (given === undefined) return 100;
  const [text = ''] = given;
  if (given.length !== 1 || !/^\d{1,4}$/.test(text) || Number(text) === 0) {
    throw new HttpError(400, 'malformed-parameter', 'limit must be a whole number from 1 to 9999, given once.');
  }
  return Number(text);
}
