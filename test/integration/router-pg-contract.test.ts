/**
 * What the router takes from pg and pg-pool beyond their documented interfaces. A failure here after an update says
 * that src/router/pg-internals.ts and its users must be read again.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { builtinModules, createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Client, Pool } from 'pg';
import { describe, expect, it } from 'vitest';
import { otherCopies } from '../../src/router/pg-copies.js';
import { requireKnownPg } from '../../src/router/pg-internals.js';
import { RouterPool } from '../../src/router/pool.js';
import { ask } from '../harness/broker.js';
import { getPrimary } from '../harness/cluster.js';

const require = createRequire(import.meta.url);
const source = (path: string) => readFile(require.resolve(path), 'utf8');
const body = (text: string, head: string) => {
  const begin = text.indexOf(`  ${head}`);
  return text.slice(begin, text.indexOf('\n  }\n', begin));
};

describe('pg-pool', () => {
  it('serves its queue, makes and hands out clients by the methods that the router overrides', async () => {
    const text = await source('pg-pool');
    expect(body(text, 'connect(cb)')).toContain('this._pulseQueue()');
    expect(body(text, '_pulseQueue()')).toContain('this._acquireClient(client, pendingItem, idleListener, false)');
    expect(body(text, '_pulseQueue()')).toContain('return this.newClient(pendingItem)');
    expect(body(text, '_afterConnect(')).toContain('this._acquireClient(client, pendingItem, idleListener, true)');
    expect(body(text, 'newClient(pendingItem)')).toContain('new this.Client(this.options)');
    expect(body(text, '_remove(client')).toContain('this._clients = this._clients.filter((c) => c !== client)');
    expect(body(text, '_release(client')).toContain('!client._queryable');
  });
});

describe('pg', () => {
  it('sends each statement in _pulseQueryQueue, and ends all of them in _errorAllQueries', async () => {
    const text = await source('pg/lib/client.js');
    expect(body(text, '_pulseQueryQueue()')).toContain('this._queryQueue.shift()');
    expect(body(text, 'query(config, values, callback)')).toContain(
      'this._queryQueue.push(query)\n    this._pulseQueryQueue()',
    );
    expect(text.match(/\.submit\(/g)).toHaveLength(2);
    expect(body(text, '_errorAllQueries(err)').match(/query\.handleError\(err, this\.connection\)/g)).toHaveLength(1);
    expect(body(text, '_handleErrorEvent(err)')).toContain('this._errorAllQueries(err)');
    expect(body(text, '_handleReadyForQuery(msg)')).toContain('this._txStatus = msg?.status ?? null');
  });

  it('has the fields that the router reads, in a connection that is at work', async () => {
    const client = new Client({ connectionString: (await getPrimary()).url() });
    await client.connect();
    const fields = client as unknown as Record<string, unknown>;
    expect(fields).toMatchObject({ _queryable: true, _ending: false, _connecting: false, readyForQuery: true });
    const running = client.query('SELECT pg_sleep(0.01)');
    expect(fields._activeQuery).toMatchObject({ text: 'SELECT pg_sleep(0.01)' });
    expect(fields).toMatchObject({ readyForQuery: false, _queryQueue: [], _sentQueryQueue: [] });
    await running;
    await client.query('BEGIN');
    expect(fields._txStatus).toBe('T');
    await client.end();
  });

  it('is refused in a form that cannot be routed', () => {
    expect(() => requireKnownPg()).not.toThrow();
    const original = Object.getOwnPropertyDescriptor(Client.prototype, '_pulseQueryQueue') as PropertyDescriptor;
    Reflect.deleteProperty(Client.prototype, '_pulseQueryQueue');
    try {
      expect(() => new RouterPool({ primary: {} })).toThrow(/lacks _pulseQueryQueue/);
    } finally {
      Object.defineProperty(Client.prototype, '_pulseQueryQueue', original);
    }
  });
});

describe('one copy of pg', () => {
  it('a second one is found where the application would load it, or has loaded it', async () => {
    expect(otherCopies()).toEqual([]);
    const folder = await mkdtemp(join(tmpdir(), 'second-pg-'));
    try {
      const lib = join(folder, 'node_modules', 'pg', 'lib');
      await mkdir(lib, { recursive: true });
      await writeFile(join(dirname(lib), 'package.json'), '{"name":"pg","version":"8.0.0","main":"lib/index.js"}');
      await writeFile(join(lib, 'index.js'), 'module.exports = {}');
      expect(otherCopies(folder)).toEqual([join(lib, 'index.js')]);
      createRequire(join(folder, 'x.js'))('pg');
      expect(otherCopies()).toEqual([join(lib, 'index.js')]);
    } finally {
      for (const path of Object.keys(require.cache)) if (path.startsWith(folder)) delete require.cache[path];
      await rm(folder, { recursive: true });
    }
  });

  it('wrong options are told all at once', () => {
    expect(() => new RouterPool({ primary: null as never, controllerUrl: 'ftp://x', holdTimeoutMs: 0 })).toThrow(
      /primary.*controllerUrl.*holdTimeoutMs/s,
    );
    expect(() => new RouterPool({ primary: {}, controllerUrl: 'http://x' })).toThrow(/secondary/);
    expect(new RouterPool({ primary: {} })).toBeInstanceOf(Pool);
  });
});

describe('the entry point', () => {
  it('loads pg and what comes with Node, nothing else', async () => {
    const packages = new Set<string>();
    const seen = new Set<string>();
    const walk = async (file: string): Promise<void> => {
      if (seen.has(file)) return;
      seen.add(file);
      const text = await readFile(file, 'utf8');
      for (const [, , specifier = ''] of text.matchAll(/(from|import)\s*\(?\s*['"]([^'"]+)['"]/g)) {
        if (specifier.startsWith('.')) await walk(join(dirname(file), specifier));
        else if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) packages.add(specifier);
      }
    };
    const dist = await ask('dist');
    await walk(join(dist, 'index.js'));
    expect([...packages]).toEqual(['pg']);
    const folders = new Set([...seen].map((file) => file.slice(dist.length + 1).split('/')[0]));
    expect([...folders].sort()).toEqual(['core', 'index.js', 'router']);
  });
});
