/**
 * The demo as a newcomer runs it: the compiled program, from its first line to the last process it started. Also what it
 * says when the standby is not equal (G1), for a check that cannot fail is worth nothing.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { DEFAULT_TABLES } from '../../src/config/tables.js';
import { spawnCli, type TestProcess } from '../harness/process.js';
import { query } from '../harness/sql.js';
import { waitFor } from '../harness/wait.js';

interface Server {
  readonly pid: number;
  readonly dataDir: string;
  readonly port: number;
}

const TIMEOUT_MS = 90_000;

/** Command lines of all processes, with the parent's number. */
async function processes(): Promise<{ pid: number; parent: number; command: string }[]> {
  if (process.platform !== 'linux') {
    const { stdout } = await promisify(execFile)('ps', ['-A', '-ww', '-o', 'pid=,ppid=,args=']);
    return [...stdout.matchAll(/^\s*(\d+)\s+(\d+)\s+(.*)$/gm)].map(([, pid, parent, command = '']) => ({
      pid: Number(pid),
      parent: Number(parent),
      command,
    }));
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const read = (pid: string, file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
  return Promise.all(
    pids.map(async (pid) => ({
      pid: Number(pid),
      parent: Number(/^PPid:\s+(\d+)$/m.exec(await read(pid, 'status'))?.[1]),
      command: (await read(pid, 'cmdline')).replaceAll('\0', ' '),
    })),
  );
}

/** The two servers that the demo runs, once they are both there. */
function serversOf(demo: TestProcess): Promise<Server[]> {
  return waitFor(
    async () => {
      const children = (await processes()).filter((each) => each.parent === demo.pid);
      const servers = children.flatMap(({ pid, command }) => {
        const [, dataDir = '', port] = /postgres -D (\S+) .*port=(\d+)/.exec(command) ?? [];
        return port === undefined ? [] : [{ pid, dataDir, port: Number(port) }];
      });
      return servers.length === 2 && servers;
    },
    { what: 'the two servers of the demo' },
  );
}

async function expectNothingLeft(servers: readonly Server[]): Promise<void> {
  const left = (await processes()).filter(({ command }) => servers.some(({ dataDir }) => command.includes(dataDir)));
  expect(left).toEqual([]);
  for (const { dataDir } of servers) expect(existsSync(dataDir)).toBe(false);
}

/** As the demo's own files have it: the servers' user can read it, and so can root. */
async function urlOf(server: Server): Promise<string> {
  const password = (await readFile(join(server.dataDir, 'superuser-password'), 'utf8')).trim();
  return `postgresql://postgres:${password}@127.0.0.1:${server.port}/waybank`;
}

describe('demo', () => {
  it(
    'loads twelve tables, streams a workload, passes its checks and leaves nothing behind',
    async () => {
      const started = performance.now();
      await using demo = await spawnCli(['demo', '--seconds', '3']);
      await demo.waitForLine(/^WayBank Database Redundancy/, { stream: 'stdout' });
      const servers = await serversOf(demo);
      expect(await demo.exit).toEqual({ code: 0, signal: null });
      const [loading = '', live = '', checking = '', failover = ''] = demo
        .output('stdout')
        .split(/^[2345]\. /m)
        .slice(1);
      for (const { name } of DEFAULT_TABLES) {
        expect(loading).toMatch(new RegExp(`✓ ${name} +[\\d,]+ rows$`, 'm'));
        expect(checking).toMatch(new RegExp(`✓ ${name} +[\\d,]+ rows, fingerprint [0-9a-f]{8} on both sides$`, 'm'));
      }
      const readings = [...live.matchAll(/^ +[123] s +(\d+) +(\d+) +([\d,]+) .* (\d+) of \4$/gm)];
      expect(readings).toHaveLength(3);
      for (const figure of readings.flatMap((match) => match.slice(1)))
        expect(Number(figure.replace(',', ''))).toBeGreaterThan(0);
      expect(checking).toMatch(/✓ [\d,]+ reads of the standby while it was written to: \$[\d,]+\.\d\d in every one/);
      const flip = /epoch \d+: the application waited \d+(\.\d)? s, and repeated \d+ transactions$/m;
      expect(failover).toMatch(new RegExp(`✓ The standby is the active database, ${flip.source}`, 'm'));
      expect(failover).toMatch(/✓ [1-9][\d,]* transactions committed on the standby meanwhile$/m);
      expect(failover).toMatch(new RegExp(`✓ The primary is the active database again, ${flip.source}`, 'm'));
      expect(failover).toMatch(/✓ All 12 tables are equal again, and the money is \$[\d,]+\.\d\d on both sides$/m);
      expect(failover).toContain('All checks passed');
      expect(failover).toContain('npm run demo -- --keep');
      for (const unwanted of ['\u001b', '✗']) expect(demo.output()).not.toContain(unwanted);
      expect(demo.output('stderr')).toBe('');
      expect(performance.now() - started).toBeLessThan(60_000);
      await expectNothingLeft(servers);
    },
    TIMEOUT_MS,
  );

  it(
    'stays with --keep until Ctrl-C, and can be looked at from outside',
    async () => {
      await using demo = await spawnCli(['demo', '--seconds', '1', '--keep']);
      await demo.waitForLine(/Ctrl-C ends everything/, { timeoutMs: TIMEOUT_MS });
      const servers = await serversOf(demo);
      const [, lagUrl = ''] = /curl (http\S+\/api\/system\/replication-lag)$/m.exec(demo.output()) ?? [];
      const lag = await (await fetch(lagUrl)).json();
      expect(lag).toMatchObject({
        status: 'streaming',
        tables: { total: 12, streaming: 12 },
        deadLetters: 0,
        dropped: 0,
      });
      const metrics = await fetch(new URL('/metrics', lagUrl));
      expect(await metrics.text()).toContain('db_redundancy_');
      const [primary = '', standby = ''] = [...demo.output().matchAll(/psql '(\S+)'/g)].map(([, url]) => url as string);
      await query(primary, `INSERT INTO leads (email, source) VALUES ('by@hand.example', 'psql')`);
      await waitFor(
        async () => (await query(standby, `SELECT 1 FROM leads WHERE email = 'by@hand.example'`)).length === 1,
        {
          what: 'the row that was written by hand on the standby',
        },
      );
      demo.kill('SIGINT');
      expect(await demo.exit).toEqual({ code: 0, signal: null });
      expect(demo.output('stderr')).toBe('');
      await expectNothingLeft(servers);
    },
    TIMEOUT_MS,
  );

  it(
    'ends with code 1 and says what differs when the standby does not hold what the primary holds',
    async () => {
      await using demo = await spawnCli(['demo', '--seconds', '4']);
      await demo.waitForLine(/^3\. Live/, { timeoutMs: TIMEOUT_MS });
      const urls = await Promise.all((await serversOf(demo)).map(urlOf));
      const standby = await Promise.all(
        urls.map((url) =>
          query(url, `SELECT 1 FROM pg_tables WHERE (schemaname, tablename) = ('db_redundancy', 'checkpoint')`),
        ),
      );
      await query(
        urls[standby.findIndex((rows) => rows.length === 1)] ?? '',
        // The controller keeps the standby closed to all who do not mean to write there.
        `SET db_redundancy.writer = 'on'; INSERT INTO billing_profiles (id, user_id, legal_name, country, balance_usd)
       VALUES (100000000, gen_random_uuid(), 'Not on the primary', 'XX', 1)`,
      );
      expect(await demo.exit).toEqual({ code: 1, signal: null });
      expect(demo.output('stdout')).toMatch(/✗ billing_profiles +DIFFERS/);
      expect(demo.output('stdout')).toMatch(/✗ \d+ of \d+ reads of the standby saw another total/);
      expect(demo.output('stderr')).toMatch(/^Error: The demo found a fault: billing_profiles differs/);
      expect(demo.output('stdout')).not.toContain('All checks passed');
    },
    TIMEOUT_MS,
  );

  it(
    'cleans up when it is interrupted while its servers start',
    async () => {
      await using demo = await spawnCli(['demo']);
      const servers = await serversOf(demo);
      demo.kill('SIGINT');
      expect(await demo.exit).toEqual({ code: 0, signal: null });
      await expectNothingLeft(servers);
    },
    TIMEOUT_MS,
  );

  it('refuses a length that is no number with code 2', async () => {
    await using demo = await spawnCli(['demo', '--seconds', 'long']);
    expect(await demo.exit).toEqual({ code: 2, signal: null });
    expect(demo.output('stderr')).toContain('--seconds');
  });
});
