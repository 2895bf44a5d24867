/**
 * `GET /` and the files of the page below `/dashboard/`, as the build has put them into dist/dashboard. They are read
 * once: a request names one of them or gets 404, and no path of a request ever reaches the file system.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Context } from 'hono';
import type { RouteModule } from './routes.js';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};
const PAGE = 'index.html';
const BUILT = fileURLToPath(new URL('../dashboard', import.meta.url));

/** Nothing but our own files, nothing inline, nobody's frame; text can only become markup through a trusted type. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

interface Asset {
  readonly body: Buffer<ArrayBuffer>;
  readonly packed: Buffer<ArrayBuffer>;
  readonly type: string;
  readonly tag: string;
}

/** @param folder another than the built one: for tests */
export function dashboardRoutes(folder = BUILT): RouteModule {
  const assets = readAssets(folder);
  return (app) => {
    for (const [name, asset] of assets) {
      const path = name === PAGE ? '/' : `/dashboard/${name}`;
      app.get(path, (context) => answer(context, asset));
    }
  };
}

/** Names do not change with the content: a browser asks each time, and gets 304 while nothing has changed. */
function answer(context: Context, { body, packed, tag, type }: Asset): Response {
  const headers: Record<string, string> = {
    'Content-Type': type,
    'Content-Security-Policy': POLICY,
    'Cache-Control': 'no-cache',
    'Cross-Origin-Opener-Policy': 'same-origin',
    ETag: tag,
    Vary: 'Accept-Encoding',
  };
  const known = context.req.header('if-none-match')?.split(',') ?? [];
  if (known.some((each) => each.trim() === tag)) return context.body(null, 304, headers);
  if (!/\bgzip\b/.test(context.req.header('accept-encoding') ?? '')) return context.body(body, 200, headers);
  return context.body(packed, 200, { ...headers, 'Content-Encoding': 'gzip' });
}

function readAssets(folder: string): Map<string, Asset> {
  const names = listed(folder).filter((name) => TYPES[extname(name)] !== undefined);
  return new Map(
    names.map((name) => {
      const body = Buffer.from(readFileSync(join(folder, name)));
      const tag = `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`;
      return [name, { body, packed: Buffer.from(gzipSync(body)), type: TYPES[extname(name)] ?? '', tag }];
    }),
  );
}

/** A process whose page was not built does its work all the same. */
function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
