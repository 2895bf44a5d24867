/**
 * The CockroachDB of a test run, in the order of TEST_COCKROACH_URL, a `cockroach` program (COCKROACH_BIN, then PATH),
 * Docker. Finding out takes milliseconds and happens in every run; the start waits until a test asks for it.
 */
import { constants } from 'node:fs';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Watchdog } from '../../src/demo/watchdog.js';
import type { CockroachInfo } from './broker.js';
import { TestProcess } from './process.js';
import { query } from './sql.js';
import { waitFor } from './wait.js';

const IMAGE = process.env.TEST_COCKROACH_IMAGE ?? 'cockroachdb/cockroach:latest-v25.2';

export type FoundCockroach =
  | { readonly kind: 'url'; readonly url: string; readonly info: CockroachInfo }
  | { readonly kind: 'binary'; readonly path: string; readonly info: CockroachInfo }
  | { readonly kind: 'docker'; readonly info: CockroachInfo }
  | { readonly kind: 'none'; readonly info: CockroachInfo };

/** What a server that lives for minutes does not need, and what takes it half of a processor. */
const NO_STATISTICS = ['sql.stats.automatic_collection.enabled = false', 'sql.stats.flush.enabled = false'];

/** CockroachDB keeps the descriptors of dropped tables for 25 hours, and reads them all for every look at a catalog. */
const FORGET_DROPPED_TABLES = 'ALTER RANGE default CONFIGURE ZONE USING gc.ttlseconds = 180';

export interface StartedCockroach extends AsyncDisposable {
  readonly url: string;
}

/** @throws Error when COCKROACH_BIN names no program: a wish that cannot be met is not a reason to skip. */
export async function detectCockroach(): Promise<FoundCockroach> {
  const { TEST_COCKROACH_URL: url, COCKROACH_BIN: wanted, PATH = '' } = process.env;
  if (url) return { kind: 'url', url, info: foundAt('TEST_COCKROACH_URL') };
  if (wanted) {
    if (!(await executable(wanted))) throw new Error(`COCKROACH_BIN is set to ${wanted}, which is no program.`);
    return { kind: 'binary', path: wanted, info: foundAt(wanted) };
  }
  for (const folder of PATH.split(delimiter).filter((entry) => entry !== '')) {
    const path = join(folder, 'cockroach');
    if (await executable(path)) return { kind: 'binary', path, info: foundAt(path) };
  }
  if (await dockerAnswers()) return { kind: 'docker', info: foundAt(`Docker, ${IMAGE}`) };
  const reason = 'not found: set TEST_COCKROACH_URL or COCKROACH_BIN, or start Docker';
  return { kind: 'none', info: { available: false, source: null, reason } };
}

const QUICK_CHANGEFEEDS = [
  `kv.closed_timestamp.target_duration = '200ms'`,
  `kv.closed_timestamp.side_transport_interval = '50ms'`,
];

/** A CockroachDB with rangefeeds on, and a connection string with the right to create databases. */
export async function startCockroach(found: FoundCockroach): Promise<StartedCockroach> {
  const started = await start(found);
  try {
    // The server listens before it answers; the first statement waits for it.
    await waitFor(() => query(started.url, 'SELECT 1').then((rows) => rows.length === 1), {
      what: 'CockroachDB answers',
      timeoutMs: 60_000,
    });
    await query(started.url, 'SET CLUSTER SETTING kv.rangefeed.enabled = true');
    // A changefeed resolves three seconds behind the present by default: tests of it would do little but wait.
    // Not on a server that is somebody's own.
    if (found.kind !== 'url') {
      for (const setting of [...QUICK_CHANGEFEEDS, ...NO_STATISTICS])
        await query(started.url, `SET CLUSTER SETTING ${setting}`);
      await query(started.url, FORGET_DROPPED_TABLES);
    }
    return started;
  } catch (error) {
    await started[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(found: FoundCockroach): Promise<StartedCockroach> {
  if (found.kind === 'url') return { url: found.url, [Symbol.asyncDispose]: () => Promise.resolve() };
  if (found.kind === 'binary') return startBinary(found.path);
  if (found.kind === 'docker') return startContainer();
  throw new Error(`CockroachDB ${found.info.reason}`);
}

async function startBinary(path: string): Promise<StartedCockroach> {
  const folder = await mkdtemp(join(tmpdir(), 'db-redundancy-crdb-'));
  const urlFile = join(folder, 'url');
  const files = [`--listening-url-file=${urlFile}`, `--temp-dir=${folder}`];
  const args = ['start-single-node', '--insecure', '--store=type=mem,size=1GiB', ...files];
  const network = ['--listen-addr=127.0.0.1:0', '--http-addr=127.0.0.1:0'];
  // A server without a disk logs to stderr, all of which would be kept in memory here.
  const log = `--log={file-defaults: {dir: ${folder}}, sinks: {stderr: {filter: FATAL}}}`;
  const server = TestProcess.spawn(path, [...args, ...network, log], {
    cwd: folder,
    env: { COCKROACH_SKIP_ENABLING_DIAGNOSTIC_REPORTING: 'true' },
  });
  const watchdog = new Watchdog({ signal: 'KILL', remove: folder });
  const dispose = async (): Promise<void> => {
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
    watchdog.release();
  };
  try {
    const url = await waitFor(
      async () => {
        if (server.ended !== undefined) throw new Error(`cockroach ended while starting:\n${server.output()}`);
        const text = await readFile(urlFile, 'utf8').catch(() => '');
        return /^postgres\S+\s*$/.test(text) && text.trim();
      },
      { what: 'cockroach writes its URL', timeoutMs: 60_000, fatal: () => server.ended !== undefined },
    );
    return { url, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function startContainer(): Promise<StartedCockroach> {
  const { CockroachDbContainer } = await import('@testcontainers/cockroachdb');
  const container = await new CockroachDbContainer(IMAGE).start();
  return {
    url: container.getConnectionUri(),
    [Symbol.asyncDispose]: async () => {
      await container.stop();
    },
  };
}

function foundAt(source: string): CockroachInfo {
  return { available: true, source, reason: null };
}

function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** Asks the engine itself: the client program is often installed where no engine runs. */
function dockerAnswers(): Promise<boolean> {
  const host = process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock';
  const address = /^unix:\/\/(?<path>.+)$/.exec(host)?.groups;
  const tcp = /^tcp:\/\/(?<host>[^:/]+):(?<port>\d+)/.exec(host)?.groups;
  const target = address ? { socketPath: address.path } : tcp ? { host: tcp.host, port: Number(tcp.port) } : undefined;
  if (target === undefined) return Promise.resolve(false);
  return new Promise((resolve) => {
    const ping = request({ ...target, path: '/_ping', timeout: 500 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.once('timeout', () => ping.destroy(new Error('timeout')));
    ping.once('error', () => resolve(false));
    ping.end();
  });
}
