import { describe, expect, it } from 'vitest';
import type { StreamStatus } from '../../src/core/status.js';
import { openHttp } from '../harness/http-fixture.js';

const PATH = '/api/system/replication-lag';

describe('GET /api/system/replication-lag', () => {
  it('answers the JSON of the contract, field by field and in order', async () => {
    await using http = await openHttp();
    const response = await http.get(PATH);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(await response.text()).toBe(
      '{"status":"streaming","lagSeconds":0.2,"lagBytes":512,"sourceLsn":"0/1A2B3C8","receivedLsn":"0/1A2B3C7","appliedLsn":"0/1A2B1C8",' +
        '"lastAppliedCommitAt":"2026-01-24T20:00:00.123Z","slot":{"name":"my_slot","active":true,"walStatus":"reserved","retainedBytes":4096},' +
        '"tables":{"total":4,"streaming":1,"loading":2,"paused":1},"deadLetters":3,"dropped":0}',
    );
  });

  it('sends null for a slot that is not known', async () => {
    await using http = await openHttp();
    http.status.current.slot = null;
    expect(await (await http.get(PATH)).json()).toMatchObject({ slot: null });
  });

  it.each<[StreamStatus, string, number]>([
    ['starting', 'starting', 503],
    ['standby', 'starting', 503],
    ['snapshot', 'snapshot', 200],
    ['streaming', 'streaming', 200],
    ['detached', 'detached', 200],
    ['paused', 'paused', 503],
    ['fenced', 'fenced', 503],
    ['error', 'error', 503],
  ])('of a stream that is %s: %s, %i', async (status, shown, code) => {
    await using http = await openHttp();
    http.status.current.status = status;
    const response = await http.get(PATH);
    expect(response.status).toBe(code);
    expect(await response.json()).toMatchObject({ status: shown, lagBytes: 512 });
  });

  it.each([
    ['?maxSeconds=0.2', 200],
    ['?maxSeconds=0.19', 503],
    ['?maxBytes=512', 200],
    ['?maxBytes=511', 503],
    ['?maxSeconds=5&maxBytes=511', 503],
    ['?maxSeconds=0&maxBytes=9999', 503],
    ['?other=1', 200],
  ])('%s: %i', async (query, code) => {
    await using http = await openHttp();
    expect((await http.get(PATH + query)).status).toBe(code);
  });

  it('takes a lag that is no number for too much', async () => {
    await using http = await openHttp();
    http.status.current.lagSeconds = Number.NaN;
    expect((await http.get(`${PATH}?maxSeconds=100`)).status).toBe(503);
  });

  it.each([
    'maxSeconds=',
    'maxSeconds=x',
    'maxSeconds=-1',
    'maxSeconds=1e3',
    'maxSeconds=0x10',
    'maxSeconds=NaN',
    'maxSeconds=Infinity',
    'maxSeconds=1&maxSeconds=2',
    'maxBytes=1.5',
    'maxBytes=%20',
    'maxBytes=99999999999999999999',
    'maxSeconds=%E2%88%9E',
  ])('?%s: 400', async (query) => {
    await using http = await openHttp();
    const response = await http.get(`${PATH}?${query}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: { code: 'malformed-parameter', message: expect.stringContaining('must be') },
    });
  });
});

describe('health', () => {
  it('/healthz is alive whatever the stream does', async () => {
    await using http = await openHttp();
    http.status.failure = new Error('gone');
    const response = await http.get('/healthz');
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ status: 'alive', uptimeSeconds: expect.any(Number) });
  });

  it.each([
    [true, 200],
    [false, 503],
  ])('/readyz when ready is %s: %i', async (ready, code) => {
    await using http = await openHttp();
    http.status.readiness = { ready, reason: 'because' };
    const response = await http.get('/readyz');
    expect(response.status).toBe(code);
    expect(await response.json()).toEqual({ ready, reason: 'because' });
  });
});
