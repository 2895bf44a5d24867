import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createRouteAuthority } from '../../src/authority/authority.js';
import { MOST_ROUTERS } from '../../src/authority/router-ledger.js';
import { LEASE_TTL_MS, type LeaseRequest, type Route } from '../../src/core/route.js';
import { FakeClock } from '../harness/fake-clock.js';

const route = (epoch: number, overrides: Partial<Route> = {}): Route => ({
  epoch,
  active: 'primary',
  phase: 'open',
  graceMs: 0,
  since: '2026-01-24T20:00:00.000Z',
  state: 'PRIMARY_ACTIVE',
  ...overrides,
});

const quiet = { okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 0 };
const request = (router: string, epoch: number, idle = true): LeaseRequest => ({
  router,
  name: null,
  epoch,
  idle,
  waiting: 0,
  primary: quiet,
  secondary: quiet,
});

function open() {
  const clock = new FakeClock();
  const authority = createRouteAuthority({ clock });
  authority.publish(route(7));
  authority.grantUntil(1_000_000);
  return { clock, authority, ids: [randomUUID(), randomUUID()] as const };
}

const never = new AbortController().signal;

/** Whether a promise has settled by now, without waiting for it. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, new Promise((r) => setImmediate(() => r(pending)))])) !== pending;
}

describe('publication', () => {
  it('refuses an epoch that is not higher', () => {
    const { authority } = open();
    expect(() => authority.publish(route(7))).toThrow(RangeError);
    expect(() => authority.publish(route(6))).toThrow(RangeError);
    authority.publish(route(9));
    expect(authority.route?.epoch).toBe(9);
  });

  it('tells subscribers at once, until they leave', () => {
    const { authority } = open();
    const seen: number[] = [];
    const leave = authority.subscribe((each) => seen.push(each.epoch));
    authority.publish(route(8));
    leave();
    authority.publish(route(9));
    expect(seen).toEqual([8]);
  });
});

describe('leases', () => {
  it('are not granted before a route is known, nor before the controller has authority', () => {
    const authority = createRouteAuthority({ clock: new FakeClock() });
    expect(authority.lease(request(randomUUID(), 0))).toBe('unknown');
    authority.publish(route(1));
    expect(authority.lease(request(randomUUID(), 0))).toMatchObject({ leaseMs: 0, route: { epoch: 1 } });
  });

  it("end with the controller's own authority", async () => {
    const { authority, clock, ids } = open();
    authority.grantUntil(12_000);
    expect(authority.lease(request(ids[0], 7))).toMatchObject({ leaseMs: LEASE_TTL_MS });
    await clock.advance(5_000);
    expect(authority.lease(request(ids[0], 7))).toMatchObject({ leaseMs: 7_000 });
    await clock.advance(7_000);
    expect(authority.lease(request(ids[0], 7))).toMatchObject({ leaseMs: 0 });
    expect(authority.routers()[0]?.leaseUntilMs).toBe(12_000);
  });

  it('are refused to more routers than can be followed, until the silent ones are forgotten', async () => {
    const { authority, clock } = open();
    for (let index = 0; index < MOST_ROUTERS; index += 1) authority.lease(request(randomUUID(), 7));
    expect(authority.lease(request(randomUUID(), 7))).toBe('full');
    await clock.advance(400_000);
    expect(authority.lease(request(randomUUID(), 7))).toMatchObject({ leaseMs: LEASE_TTL_MS });
    expect(authority.routers()).toHaveLength(1);
  });
});

describe('G6 withdrawal of an epoch', () => {
  it('waits for its publication, and for each router to acknowledge it as idle', async () => {
    const { authority, ids } = open();
    for (const id of ids) authority.lease(request(id, 7));
    const withdrawal = authority.withdrawn(8, never);
    expect(await settled(withdrawal)).toBe(false);
    authority.publish(route(8, { phase: 'hold' }));
    authority.lease(request(ids[0], 8));
    authority.lease(request(ids[1], 8, false));
    expect(await settled(withdrawal)).toBe(false);
    authority.lease(request(ids[1], 8));
    expect(await withdrawal).toEqual({ acknowledged: [...ids], expired: [], tookMs: 0 });
  });

  it('ends with the lease of a silent router, not before', async () => {
    const { authority, clock, ids } = open();
    authority.lease(request(ids[0], 7));
    await clock.advance(2_000);
    authority.lease(request(ids[1], 7));
    authority.publish(route(8));
    const withdrawal = authority.withdrawn(8, never);
    authority.lease(request(ids[0], 8));
    await clock.advance(LEASE_TTL_MS - 1);
    expect(await settled(withdrawal)).toBe(false);
    await clock.advance(1);
    expect(await withdrawal).toEqual({ acknowledged: [ids[0]], expired: [ids[1]], tookMs: LEASE_TTL_MS });
  });

  it('goes on waiting for a router that renews its lease and has work under way', async () => {
    const { authority, clock, ids } = open();
    authority.lease(request(ids[0], 7, false));
    authority.publish(route(8));
    const withdrawal = authority.withdrawn(8, never);
    for (let turn = 0; turn < 10; turn += 1) {
      await clock.advance(3_000);
      authority.lease(request(ids[0], 8, false));
    }
    expect(await settled(withdrawal)).toBe(false);
    await clock.advance(LEASE_TTL_MS);
    expect((await withdrawal).expired).toEqual([ids[0]]);
  });

  it('does not take an acknowledgement back when an older report arrives late', async () => {
    const { authority, ids } = open();
    authority.lease(request(ids[0], 7, false));
    authority.publish(route(8));
    authority.lease(request(ids[0], 8));
    authority.lease(request(ids[0], 7, false));
    expect((await authority.withdrawn(8, never)).acknowledged).toEqual([ids[0]]);
    expect(authority.routers()[0]).toMatchObject({ epoch: 8, idle: true });
  });

  it('does not wait for a router whose first lease came with the new epoch, but for one with unknown work', async () => {
    const { authority, ids } = open();
    authority.publish(route(8));
    authority.lease(request(ids[0], 0));
    expect(await settled(authority.withdrawn(8, never))).toBe(true);
    authority.lease(request(ids[1], 7));
    expect(await settled(authority.withdrawn(8, never))).toBe(false);
  });

  it('rejects with the reason of its signal, and leaves no timer behind', async () => {
    const { authority, clock, ids } = open();
    authority.lease(request(ids[0], 7));
    authority.publish(route(8));
    const abort = new AbortController();
    const withdrawal = authority.withdrawn(8, abort.signal);
    abort.abort(new Error('the controller stops'));
    await expect(withdrawal).rejects.toThrow('the controller stops');
    expect(clock.pending).toBe(0);
    await expect(authority.withdrawn(8, abort.signal)).rejects.toThrow('the controller stops');
  });
});
