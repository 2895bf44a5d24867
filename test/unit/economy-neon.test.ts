/** Neon's API as it is documented, served by an HTTP server: what is read, what each refusal means, and when it wakes us. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createRedactor } from '../../src/core/redact.js';
import { Secret } from '../../src/core/secret.js';
import { NeonApiError, readNeonEndpoint } from '../../src/economy/neon-api.js';
import { NeonWatch } from '../../src/economy/neon-watch.js';
import { Rest } from '../../src/economy/rest.js';
import { FakeClock } from '../harness/fake-clock.js';
import { waitFor } from '../harness/wait.js';
import { TestLog } from '../integration/support/stream.js';

const KEY = 'napi_verysecret';
const PROJECT = 'shiny-wind-028834';
const ENDPOINT = 'ep-cool-name-123456';
const never = new AbortController().signal;

/** The answer of `GET /projects/{project_id}/endpoints/{endpoint_id}`, with the fields of the API's reference. */
function endpoint(more: Record<string, unknown> = {}) {
  return {
    endpoint: {
      host: `${ENDPOINT}.azure.neon.tech`,
      id: ENDPOINT,
      project_id: PROJECT,
      branch_id: 'br-proud-paper-090813',
      autoscaling_limit_min_cu: 0.25,
      autoscaling_limit_max_cu: 0.25,
      region_id: 'azure-eastus2',
      type: 'read_write',
      current_state: 'idle',
      settings: { pg_settings: {} },
      pooler_enabled: false,
      pooler_mode: 'transaction',
      disabled: false,
      passwordless_access: true,
      last_active: '2026-11-29T09:34:00Z',
      creation_source: 'console',
      created_at: '2026-10-23T18:15:21Z',
      updated_at: '2026-11-29T09:39:00Z',
      suspended_at: '2026-11-29T09:39:00Z',
      proxy_host: 'azure.neon.tech',
      suspend_timeout_seconds: 0,
      provisioner: 'k8s-neonvm',
      ...more,
    },
  };
}

class NeonStub {
  readonly requests: string[] = [];
  /** Says what the next requests get. */
  answer: (response: ServerResponse) => void = (response) => this.json(response, 200, endpoint());
  readonly #server = createServer((request, response) => this.#serve(request, response));

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/api/v2`;
  }

  json(response: ServerResponse, status: number, body: unknown): void {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url}`);
    const wrong = { request_id: 'r', code: '', message: 'not authorized' };
    if (request.headers.authorization !== `Bearer ${KEY}`) this.json(response, 401, wrong);
    else if (request.url !== `/api/v2/projects/${PROJECT}/endpoints/${ENDPOINT}`) this.json(response, 404, wrong);
    else this.answer(response);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe("Neon's API", () => {
  const options = (apiUrl: string, more = {}) => ({
    ...{ apiUrl, apiKey: new Secret(KEY), projectId: PROJECT, endpointId: ENDPOINT, timeoutMs: 2000, ...more },
  });

  it.each([
    [{}, { state: 'idle', disabled: false, suspendsAfterMs: null }],
    [
      { current_state: 'active', suspend_timeout_seconds: 60 },
      { state: 'active', disabled: false, suspendsAfterMs: 60_000 },
    ],
    [
      { current_state: 'init', disabled: true, suspend_timeout_seconds: -1 },
      { state: 'init', disabled: true, suspendsAfterMs: Number.POSITIVE_INFINITY },
    ],
  ])('is understood: %j', async (more, expected) => {
    await using stub = new NeonStub();
    const url = await stub.start();
    stub.answer = (response) => stub.json(response, 200, endpoint(more));
    expect(await readNeonEndpoint(options(url), never)).toEqual(expected);
    expect(stub.requests).toEqual([`GET /api/v2/projects/${PROJECT}/endpoints/${ENDPOINT}`]);
  });

  it.each<[string, string, Record<string, unknown>, ((stub: NeonStub, response: ServerResponse) => void) | null]>([
    ['a wrong key', 'unauthorized', { apiKey: new Secret('napi_other') }, null],
    ['a wrong endpoint', 'not-found', { endpointId: 'ep-other-1' }, null],
    ['too many requests', 'rate-limited', {}, (stub, response) => stub.json(response, 429, { message: 'slow down' })],
    ['a failure there', 'unavailable', {}, (stub, response) => stub.json(response, 503, { message: 'maintenance' })],
    ['a page instead', 'malformed', {}, (_stub, response) => response.writeHead(200).end('<html>')],
    [
      'another answer',
      'malformed',
      {},
      (stub, response) => stub.json(response, 200, { endpoint: { current_state: 'x' } }),
    ],
    ['no answer', 'timeout', { timeoutMs: 100 }, () => undefined],
    ['nobody', 'unavailable', { apiUrl: 'http://127.0.0.1:1/api/v2' }, null],
  ])('%s is an error of its own kind, and shows no key', async (_name, problem, more, answer) => {
    await using stub = new NeonStub();
    const url = await stub.start();
    if (answer) stub.answer = (response) => answer(stub, response);
    const error = await readNeonEndpoint(options(url, more), never).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(NeonApiError);
    expect(error).toMatchObject({ problem, remedy: expect.stringMatching(/\.$/) });
    expect(`${String(error)} ${JSON.stringify(error)} ${String((error as Error).cause)}`).not.toMatch(/napi_/);
    expect(createRedactor([KEY])(`Bearer ${KEY}`)).not.toContain(KEY);
  });
});

describe('the watch over the endpoint', () => {
  const abort = new AbortController();
  afterEach(() => undefined);

  async function watched() {
    const stub = new NeonStub();
    const apiUrl = await stub.start();
    const clock = new FakeClock();
    const log = new TestLog();
    const rest = new Rest({ clock, log, idleMs: 60_000, maxMs: 86_400_000 });
    const options = { apiUrl, apiKey: new Secret(KEY), projectId: PROJECT, endpointId: ENDPOINT };
    const watch = new NeonWatch({ clock, log, rest, read: (signal) => readNeonEndpoint(options, signal) });
    const stop = new AbortController();
    const running = watch.run(AbortSignal.any([stop.signal, abort.signal]));
    const says = (more: Record<string, unknown>) => {
      stub.answer = (response) => stub.json(response, 200, endpoint(more));
    };
    return {
      ...{ clock, log, rest, says, stub, watch },
      /** Lets a minute pass, and the question be answered. */
      async minute() {
        const before = watch.view().checkedAt;
        await clock.advance(60_000);
        if (rest.mode === 'resting') await waitFor(() => watch.view().checkedAt !== before, { what: 'it was asked' });
      },
      async [Symbol.asyncDispose]() {
        stop.abort();
        await running;
        rest.close();
        await stub[Symbol.asyncDispose]();
      },
    };
  }

  it('asks only while the primary is left alone, and takes its falling asleep for what it is', async () => {
    await using it_ = await watched();
    it_.says({ current_state: 'active' });
    await it_.clock.advance(59_000);
    expect(it_.stub.requests).toEqual([]);
    await it_.clock.advance(1000);
    for (let i = 0; i < 4; i++) await it_.minute();
    // Active because of us, until Neon's five minutes are over.
    expect(it_.rest.mode).toBe('resting');
    it_.says({ current_state: 'idle' });
    await it_.minute();
    expect(it_.watch.view()).toMatchObject({ state: 'idle', problem: null });
    expect(it_.rest.mode).toBe('resting');
    // Nobody that reports to us has woken it.
    it_.says({ current_state: 'active' });
    await it_.minute();
    expect(it_.rest.view()).toMatchObject({ mode: 'awake', wokenBy: 'neon' });
  });

  it('finds that it does not fall asleep: somebody uses it', async () => {
    await using it_ = await watched();
    it_.says({ current_state: 'active' });
    await it_.clock.advance(60_000);
    for (let i = 0; i < 9 && it_.rest.mode === 'resting'; i++) await it_.minute();
    expect(it_.rest.view()).toMatchObject({ mode: 'awake', wokenBy: 'neon' });
    expect(it_.clock.monotonic()).toBeGreaterThan(60_000 + 360_000);
  });

  it('says what is wrong once, and is no reason for anything', async () => {
    await using it_ = await watched();
    it_.stub.answer = (response) => it_.stub.json(response, 503, {});
    await it_.clock.advance(60_000);
    for (let i = 0; i < 3; i++) await it_.minute();
    expect(it_.watch.view()).toMatchObject({ state: null, problem: expect.stringContaining('503') });
    expect(it_.log.entries.filter(({ level }) => level === 'warn')).toHaveLength(1);
    expect(it_.rest.mode).toBe('resting');
  });
});
