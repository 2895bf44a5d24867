/** Economy mode: when the primary is left alone, and what brings everything back to it. */
import { describe, expect, it } from 'vitest';
import type { RestMode } from '../../src/core/economy.js';
import type { LeaseRequest, SideReport } from '../../src/core/route.js';
import { Rest } from '../../src/economy/rest.js';
import { type Outcome, RouterReports } from '../../src/economy/router-reports.js';
import { FakeClock } from '../harness/fake-clock.js';
import { TestLog } from '../integration/support/stream.js';

const IDLE = 60_000;
const MAX = 3_600_000;

function resting() {
  const clock = new FakeClock();
  const rest = new Rest({ clock, log: new TestLog(), idleMs: IDLE, maxMs: MAX });
  const modes: [RestMode, number][] = [];
  rest.onChange((mode) => void modes.push([mode, clock.monotonic()]));
  return { clock, rest, modes };
}

describe('a rest', () => {
  it('begins after the idle time, not earlier, and each use puts it off', async () => {
    const { clock, modes, rest } = resting();
    await clock.advance(IDLE - 1);
    rest.stir('application');
    await clock.advance(IDLE - 1);
    expect(modes).toEqual([]);
    await clock.advance(1);
    expect(modes).toEqual([['resting', 2 * IDLE - 1]]);
  });

  it('waits for whoever objects, and begins within a second of its agreement', async () => {
    const { clock, modes, rest } = resting();
    let why: string | null = 'a verify is under way';
    rest.addObjection(() => null);
    rest.addObjection(() => why);
    await clock.advance(10 * IDLE);
    expect(modes).toEqual([]);
    why = null;
    await clock.advance(1000);
    expect(rest.mode).toBe('resting');
  });

  it('ends with the next use, at once, and not with news of what was before it', async () => {
    const { clock, modes, rest } = resting();
    await clock.advance(IDLE);
    await clock.advance(500);
    rest.stir('application', clock.monotonic() - 501);
    expect(rest.awake).toBe(false);
    rest.stir('application', clock.monotonic() - 499);
    expect(modes.at(-1)).toEqual(['awake', IDLE + 500]);
    expect(rest.view()).toMatchObject({ mode: 'awake', wokenBy: 'application', rests: 1, restedSeconds: 1 });
  });

  it('lasts no longer than allowed: a visit of the idle time, and back', async () => {
    const { clock, modes } = resting();
    await clock.advance(IDLE + 2 * (MAX + IDLE));
    expect(modes.map(([mode]) => mode)).toEqual(['resting', 'awake', 'resting', 'awake', 'resting']);
    expect((modes[1]?.[1] ?? 0) - (modes[0]?.[1] ?? 0)).toBe(MAX);
    expect((modes[2]?.[1] ?? 0) - (modes[1]?.[1] ?? 0)).toBe(IDLE);
  });

  it('is none of our business where another controller leads, until this one does; what routers say is passed on', async () => {
    const clock = new FakeClock();
    let told = 0;
    const onUseElsewhere = () => void told++;
    const rest = new Rest({ clock, log: new TestLog(), idleMs: IDLE, maxMs: MAX, onUseElsewhere });
    rest.lead(false);
    expect(rest.mode).toBe('elsewhere');
    await clock.advance(2000);
    rest.stir('application');
    rest.stir('application', 2100);
    rest.stir('order');
    await clock.advance(2 * MAX);
    expect(rest.mode).toBe('elsewhere');
    rest.lead(true);
    expect(rest.awake).toBe(true);
    expect(told).toBe(1);
    await clock.advance(IDLE);
    expect(rest.mode).toBe('resting');
  });
});

describe('reports of routers', () => {
  const quiet: SideReport = { okAgoMs: null, writeOkAgoMs: null, failedAgoMs: null, busy: 0 };
  const request = (primary: Partial<SideReport>, router = 'r'): LeaseRequest => ({
    ...{ router, name: null, epoch: 1, idle: true, waiting: 0, secondary: quiet },
    primary: { ...quiet, ...primary },
  });

  it('are activity by when the primary was used, however often they say it', async () => {
    const { clock, rest } = resting();
    const reports = new RouterReports(clock, rest, () => undefined);
    for (let ago = 0; ago <= IDLE; ago += 3000) {
      reports.heard(request({ okAgoMs: ago }));
      await clock.advance(3000);
    }
    expect(rest.mode).toBe('resting');
    reports.heard(request({ okAgoMs: IDLE + 3000 }));
    expect(rest.mode).toBe('resting');
    reports.heard(request({ okAgoMs: 10 }));
    expect(rest.mode).toBe('awake');
  });

  it('keep it awake while a connection is busy', async () => {
    const { clock, rest } = resting();
    const reports = new RouterReports(clock, rest, () => undefined);
    for (let i = 0; i < 100; i++) {
      reports.heard(request({ busy: 1, okAgoMs: i * 3000 }));
      await clock.advance(3000);
    }
    expect(rest.awake).toBe(true);
  });

  it('pass on each failure once, with what the primary answered, and forget it at a success', async () => {
    const { clock, rest } = resting();
    const failures: Outcome[] = [];
    const reports = new RouterReports(clock, rest, (outcome) => failures.push(outcome));
    await clock.advance(IDLE);
    reports.heard(request({ okAgoMs: 50_000, failedAgoMs: 10, failures: 2 }));
    expect(failures).toEqual([{ router: 'r', failures: 2, quota: false }]);
    expect(rest.awake).toBe(false);
    await clock.advance(3000);
    reports.heard(request({ okAgoMs: 53_000, failedAgoMs: 3010, failures: 2 }));
    expect(failures).toHaveLength(1);
    reports.heard(request({ okAgoMs: 53_000, failedAgoMs: 5, failures: 3, quota: true }));
    expect(failures.at(-1)).toEqual({ router: 'r', failures: 3, quota: true });
    expect(rest.view()).toMatchObject({ mode: 'awake', wokenBy: 'failure' });
    reports.heard(request({ okAgoMs: 1, failedAgoMs: 5 }));
    expect(failures).toHaveLength(2);
  });
});
