import { describe, expect, it } from 'vitest';
import type { Route } from '../../src/core/route.js';
import { SideActivity } from '../../src/router/activity.js';
import { parseRoute } from '../../src/router/controller-link.js';
import { Deadline } from '../../src/router/deadline.js';
import { Gate } from '../../src/router/gate.js';
import { SseParser } from '../../src/router/sse-parser.js';
import { FakeClock } from '../harness/fake-clock.js';

const route = (epoch: number, overrides: Partial<Route> = {}): Route => ({
  epoch,
  active: 'primary',
  phase: 'open',
  graceMs: 0,
  since: '',
  state: '',
  ...overrides,
});

describe('gate', () => {
  it('G6 permits nothing without a lease, nor after its end', async () => {
    const clock = new FakeClock();
    const gate = new Gate(clock);
    gate.apply(route(1));
    expect(gate.permits('primary')).toBe(false);
    const asked = gate.moment();
    await clock.advance(4_000);
    // Reckoned from the asking, not from the answer.
    gate.extend('controller', asked, 10_000);
    expect(gate.permits('primary')).toBe(true);
    expect(gate.permits('secondary')).toBe(false);
    await clock.advance(5_999);
    expect(gate.permits('primary')).toBe(true);
    await clock.advance(1);
    expect(gate.permits('primary')).toBe(false);
    expect(gate.judge('primary', true)).toBe('wait');
  });

  it('is closed by the wall clock too, for a machine that was suspended', async () => {
    const clock = new FakeClock();
    const gate = new Gate(clock);
    gate.apply(route(1));
    gate.extend('controller', gate.moment(), 10_000);
    const now = clock.now();
    clock.now = () => now + 60_000;
    expect(gate.permits('primary')).toBe(false);
  });

  it('does not shorten a lease, and knows only higher epochs', () => {
    const gate = new Gate(new FakeClock());
    expect(gate.apply(route(5))).not.toBeNull();
    expect(gate.apply(route(5, { active: 'secondary' }))).toBeNull();
    expect(gate.apply(route(4, { active: 'secondary' }))).toBeNull();
    gate.extend('controller', gate.moment(), 10_000);
    gate.extend('controller', gate.moment(), 1_000);
    expect(gate.remainingMs).toBe(10_000);
  });

  it('in a hold lets transactions of its own side go on within the grace, and nothing else', async () => {
    const clock = new FakeClock();
    const gate = new Gate(clock);
    gate.apply(route(2, { phase: 'hold', graceMs: 500 }));
    gate.extend('controller', gate.moment(), 10_000);
    expect(gate.judge('primary', true)).toBe('run');
    expect(gate.judge('primary', false)).toBe('wait');
    expect(gate.judge('secondary', true)).toBe('gone');
    await clock.advance(500);
    expect(gate.judge('primary', true)).toBe('gone');
    gate.apply(route(3, { active: 'secondary' }));
    expect(gate.judge('primary', false)).toBe('gone');
    expect(gate.judge('secondary', false)).toBe('run');
  });
});

describe('event stream', () => {
  it('is read whatever the chunks are', () => {
    const text = ': hello\n\nevent: route\ndata: {"a":1}\r\n\r\ndata: x\ndata: y\n\n: bye\n\n';
    for (let size = 1; size < text.length; size += 1) {
      const parser = new SseParser();
      const events = [];
      for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
      expect(events).toEqual([
        { event: 'route', data: '{"a":1}' },
        { event: 'message', data: 'x\ny' },
      ]);
    }
  });

  it('gives up on a line without an end', () => {
    expect(() => new SseParser().push('x'.repeat(70_000))).toThrow(RangeError);
  });

  it.each([null, 'x', {}, route(-1), route(1.5), { ...route(1), active: 'both' }, { ...route(1), phase: 1 }])(
    '%j is no route',
    (value) => expect(parseRoute(value)).toBeNull(),
  );
});

describe('activity', () => {
  it('counts ages back from the report', async () => {
    const clock = new FakeClock();
    const activity = new SideActivity(clock);
    expect(activity.report(2)).toEqual({ okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 2 });
    activity.ok();
    await clock.advance(50);
    activity.failed(new Error('Your account or project has exceeded the compute time quota.'));
    const ages = { okAgoMs: 50, writeOkAgoMs: null, failedAgoMs: 0, busy: 0 };
    expect(activity.report(0)).toEqual({ ...ages, failures: 1, quota: true });
    activity.failed(new Error('connect ECONNREFUSED'));
    expect(activity.report(0)).toEqual({ ...ages, failures: 2, quota: false });
    activity.ok();
    activity.wrote();
    expect(activity.report(0)).toEqual({ ...ages, okAgoMs: 0, writeOkAgoMs: 0, writes: 1 });
  });

  it('says at once that a quiet side is used again, and that it begins to fail', async () => {
    const clock = new FakeClock();
    let news = 0;
    const activity = new SideActivity(clock, () => {
      news += 1;
    });
    activity.ok();
    await clock.advance(3000);
    activity.ok();
    expect(news).toBe(1);
    await clock.advance(10_000);
    activity.ok();
    expect(news).toBe(2);
    activity.failed(new Error('gone'));
    activity.failed(new Error('gone'));
    expect(news).toBe(3);
  });
});

describe('deadline', () => {
  it('has one timer for all', async () => {
    const clock = new FakeClock();
    const dues = [100, 150, 300];
    const swept: number[] = [];
    const deadline = new Deadline(clock, (now) => {
      while (dues[0] !== undefined && dues[0] <= now) swept.push(dues.shift() as number);
      return dues[0] ?? null;
    });
    for (const due of dues) deadline.arm(due);
    expect(clock.pending).toBe(1);
    await clock.advance(400);
    expect(swept).toEqual([100, 150, 300]);
    expect(clock.pending).toBe(0);
  });
});
