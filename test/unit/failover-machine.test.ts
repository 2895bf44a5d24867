/** The machine by itself, and the timing of decisions on a fake clock: SPEC section 7, issue D. */
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { DURABLE_STATES, FAILOVER_STATES, type FailoverState } from '../../src/core/failover.js';
import { initialState, step } from '../../src/failover/machine.js';
import type { Effect, Event, MachineState, Step } from '../../src/failover/machine-types.js';
import { TRANSITIONS } from '../../src/failover/transitions.js';
import { Simulation, type SimulationOptions, TIMEOUT_MS } from './support-failover-simulation.js';

const open: Simulation[] = [];
const simulate = (options?: SimulationOptions) => {
  const simulation = new Simulation(options).start();
  open.push(simulation);
  return simulation;
};
afterEach(async () => {
  for (const simulation of open.splice(0)) {
    const stopping = simulation.stop();
    await simulation.clock.advance(TIMEOUT_MS);
    await stopping;
  }
});

describe('the row lives on the secondary', () => {
  it.each(['SECONDARY_ACTIVE', 'RECOVERING', 'READY'] as const)(
    '%s: while that is silent, nothing is entered',
    (at) => {
      let state: MachineState = { ...initialState(), state: at, durable: at, active: 'secondary' };
      const thresholds = { failover: 3, failback: 5 };
      const seen: string[] = [];
      for (let round = 0; round < 3; round += 1) {
        // The primary went away a probe earlier.
        const outcome = step(
          state,
          { kind: 'probed', primary: false, secondary: round === 0, atMs: round },
          thresholds,
        );
        state = outcome.state;
        seen.push(...outcome.effects.map((effect) => effect.kind));
      }
      expect(seen).not.toContain('enter');
      state = { ...initialState(), state: at, durable: at, active: 'secondary' };
      for (let round = 0; round < 3; round += 1) {
        const outcome = step(state, { kind: 'probed', primary: true, secondary: false, atMs: round }, thresholds);
        expect(outcome.effects.map((effect) => effect.kind)).not.toContain('enter');
        state = outcome.state;
      }
      expect(state.state).toBe('MANUAL_REQUIRED');
    },
  );
});

describe('a primary that answers that its compute time is used up', () => {
  const thresholds = { failover: 3, failback: 5 };
  const says = { kind: 'probed', primary: false, secondary: true, atMs: 0 } as const;

  it('is failed over from at once: one such answer is as good as the threshold', () => {
    const usual = step(initialState(), says, thresholds);
    expect(usual.state).toMatchObject({ state: 'SUSPECT', primaryFailures: 1 });
    const { effects, state } = step(initialState(), { ...says, quota: true }, thresholds);
    expect(state).toMatchObject({ state: 'GUARD', primaryFailures: 3 });
    expect(effects).toEqual([{ kind: 'judge', what: 'failover' }]);
  });

  it('counts on from the failures before it, and is forgotten with the first success', () => {
    const suspect = step(initialState(), says, thresholds).state;
    const guard = step(suspect, { ...says, quota: true }, thresholds).state;
    expect(guard.primaryFailures).toBe(3);
    const back = step(guard, { ...says, primary: true }, thresholds).state;
    expect(back).toMatchObject({ state: 'PRIMARY_ACTIVE', primaryFailures: 0, primarySuccesses: 1 });
  });
});

describe('timing', () => {
  it('2 failures and a success change nothing', async () => {
    const it_ = simulate();
    await it_.rounds(1);
    it_.primary = 'refuses';
    await it_.rounds(2);
    expect(it_.state.state).toBe('SUSPECT');
    it_.primary = 'ok';
    await it_.rounds(1);
    expect(it_.state.state).toBe('PRIMARY_ACTIVE');
    it_.primary = 'refuses';
    await it_.rounds(2);
    expect(it_.entered).toEqual([]);
  });

  it.each(['refuses', 'hangs'] as const)('3 failures are a failover, when the primary %s', async (how) => {
    const it_ = simulate();
    await it_.rounds(1);
    it_.primary = how;
    await it_.rounds(2);
    expect(it_.entered).toEqual([]);
    await it_.rounds(1);
    expect(it_.entered).toEqual(['FENCING_PRIMARY/secondary/hold', 'SECONDARY_ACTIVE/secondary/open']);
    expect(it_.steps.slice(-2)).toEqual(['promote', 'settle-secondary']);
  });

  it('a side that hangs does not slow the rhythm down', async () => {
    const it_ = simulate();
    it_.primary = 'hangs';
    await it_.rounds(2);
    it_.primary = 'refuses';
    await it_.rounds(2);
    expect(it_.probedAt.slice(0, 4)).toEqual([0, 30_000, 60_000, 90_000]);
  });

  it('probes faster after a first failure, when told to', async () => {
    const it_ = simulate({ suspectIntervalMs: 2000 });
    it_.primary = 'refuses';
    await it_.rounds(3);
    // The first one still answered.
    expect(it_.probedAt.slice(0, 4)).toEqual([0, 30_000, 32_000, 34_000]);
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
  });

  it('5 successes and the cool-down are a failback, not fewer', async () => {
    const it_ = simulate({ cooldownMs: 0 });
    it_.primary = 'refuses';
    await it_.rounds(3);
    it_.primary = 'ok';
    await it_.rounds(4);
    expect(it_.state.state).toBe('READY');
    expect(it_.flips).toHaveLength(1);
    await it_.rounds(1);
    expect(it_.state.state).toBe('PRIMARY_ACTIVE');
    expect(it_.entered.slice(-4)).toEqual([
      'FENCING_SECONDARY/secondary/hold',
      'DRAINING/secondary/hold',
      'DRAINING/primary/hold',
      'PRIMARY_ACTIVE/primary/open',
    ]);
  });

  it('a failure among the successes begins them anew', async () => {
    const it_ = simulate({ cooldownMs: 0 });
    it_.primary = 'refuses';
    await it_.rounds(3);
    for (const answer of ['ok', 'ok', 'ok', 'ok', 'hangs', 'ok', 'ok', 'ok', 'ok'] as const) {
      it_.primary = answer;
      await it_.rounds(1);
    }
    expect(it_.flips).toHaveLength(1);
    await it_.rounds(1);
    expect(it_.state.state).toBe('PRIMARY_ACTIVE');
  });

  it('a primary that flaps for two hours: one change a cool-down', async () => {
    const cooldownMs = 600_000;
    const it_ = simulate({ cooldownMs });
    const changes: number[] = [];
    let known = 0;
    for (let round = 0; round < 240; round++) {
      it_.primary = Math.floor(round / 6) % 2 === 0 ? 'ok' : 'refuses';
      await it_.rounds(1);
      if (it_.flips.length > known) changes.push(it_.clock.monotonic());
      known = it_.flips.length;
    }
    expect(changes.length).toBeGreaterThan(2);
    for (const [i, at] of changes.entries()) {
      if (i > 0) expect(at - (changes[i - 1] as number)).toBeGreaterThanOrEqual(cooldownMs - TIMEOUT_MS);
    }
  });

  it('routers that still write: held, with one alert, and a failover as soon as they do not', async () => {
    const it_ = simulate();
    it_.routersStillWriting = ['web-1'];
    it_.primary = 'hangs';
    await it_.rounds(6);
    expect(it_.state.state).toBe('PRIMARY_DOWN_HELD');
    expect(it_.entered).toEqual([]);
    expect(it_.alerts).toHaveLength(1);
    expect(it_.alerts[0]).toContain('routers-cut-off');
    it_.routersStillWriting = [];
    await it_.rounds(1);
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
  });

  it.each([
    ['paused', (it_: Simulation) => Object.assign(it_, { paused: true }), 'not-paused'],
    ['lag too large', (it_: Simulation) => Object.assign(it_, { lagMs: 300_001 }), 'stream-lag'],
    ['lag unknown', (it_: Simulation) => Object.assign(it_, { lagMs: null }), 'stream-lag'],
  ])('held when %s, and back on the primary when that answers', async (_, arrange, guard) => {
    const it_ = simulate();
    arrange(it_);
    it_.primary = 'refuses';
    await it_.rounds(4);
    expect(it_.state.state).toBe('PRIMARY_DOWN_HELD');
    expect(it_.alerts[0]).toContain(guard);
    it_.primary = 'ok';
    await it_.rounds(1);
    expect(it_.state.state).toBe('PRIMARY_ACTIVE');
    expect(it_.entered).toEqual([]);
  });

  it('with automatic failover off it is a person who decides', async () => {
    const it_ = simulate({ auto: false });
    it_.primary = 'refuses';
    await it_.rounds(5);
    expect(it_.state.state).toBe('PRIMARY_DOWN_HELD');
    it_.handle({ kind: 'ordered', verb: 'failover', how: 'crash' });
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
  });

  it('both down: a person is needed; the secondary alone back: a failover; the primary back: nothing', async () => {
    const it_ = simulate();
    it_.primary = 'hangs';
    it_.secondary = 'refuses';
    await it_.rounds(3);
    expect(it_.state.state).toBe('MANUAL_REQUIRED');
    expect(it_.alerts[0]).toMatch(/both dashboards/);
    it_.primary = 'ok';
    await it_.rounds(1);
    expect(it_.state.state).toBe('PRIMARY_ACTIVE');
    it_.primary = 'refuses';
    await it_.rounds(3);
    it_.secondary = 'ok';
    await it_.rounds(1);
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
  });

  it('the active secondary dies: a person is needed, and its return is enough', async () => {
    const it_ = simulate();
    it_.primary = 'refuses';
    await it_.rounds(3);
    it_.secondary = 'hangs';
    await it_.rounds(3);
    expect(it_.state.state).toBe('MANUAL_REQUIRED');
    it_.secondary = 'ok';
    let readopted = false;
    const outcome = step(
      it_.state,
      { kind: 'probed', primary: false, secondary: true, atMs: 0 },
      { failover: 3, failback: 5 },
    );
    readopted = outcome.effects.some((effect) => effect.kind === 'readopt');
    expect(readopted).toBe(true);
    it_.handle({ kind: 'adopted', state: 'SECONDARY_ACTIVE', active: 'secondary' });
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
  });

  it('the primary dies again while it is drained to: undone at once, the secondary stays active', async () => {
    const it_ = simulate({ cooldownMs: 0 });
    it_.primary = 'refuses';
    await it_.rounds(3);
    it_.stuck.add('drain');
    it_.primary = 'ok';
    await it_.rounds(5);
    expect(it_.state.state).toBe('DRAINING');
    it_.primary = 'refuses';
    await it_.rounds(1);
    expect(it_.state.state).toBe('SECONDARY_ACTIVE');
    expect(it_.steps).toContain('reopen-secondary');
  });

  it('a drain that takes too long is undone', async () => {
    const it_ = simulate({ cooldownMs: 0 });
    it_.primary = 'refuses';
    await it_.rounds(3);
    it_.failing = 'drain';
    it_.primary = 'ok';
    await it_.rounds(5);
    expect(it_.entered.slice(-2)).toEqual(['DRAINING/secondary/hold', 'SECONDARY_ACTIVE/secondary/open']);
    expect(it_.alerts.join()).toContain('The failback is undone');
  });

  it('a switchover that cannot be drained is undone', () => {
    const it_ = new Simulation();
    it_.failing = 'close-primary';
    it_.handle({ kind: 'ordered', verb: 'failover', how: 'switchover' });
    expect(it_.entered).toEqual(['FENCING_PRIMARY/primary/hold', 'PRIMARY_ACTIVE/primary/open']);
  });
});

describe('what a restarted controller does', () => {
  it.each([
    ['PRIMARY_ACTIVE', 'primary', ['settle-primary'], []],
    ['FENCING_PRIMARY', 'primary', ['reopen-primary', 'settle-primary'], ['PRIMARY_ACTIVE/primary/open']],
    ['FENCING_PRIMARY', 'secondary', ['promote', 'settle-secondary'], ['SECONDARY_ACTIVE/secondary/open']],
    ['SECONDARY_ACTIVE', 'secondary', ['settle-secondary'], []],
    ['RECOVERING', 'secondary', ['settle-secondary', 'recover'], []],
    ['READY', 'secondary', ['settle-secondary', 'recover'], []],
    ['FENCING_SECONDARY', 'secondary', ['reopen-secondary', 'settle-secondary'], ['SECONDARY_ACTIVE/secondary/open']],
    ['DRAINING', 'secondary', ['reopen-secondary', 'settle-secondary'], ['SECONDARY_ACTIVE/secondary/open']],
    ['DRAINING', 'primary', ['open-primary', 'settle-primary'], ['PRIMARY_ACTIVE/primary/open']],
  ] as const)('in %s with the %s active', (state, active, steps, entered) => {
    const it_ = new Simulation();
    it_.handle({ kind: 'adopted', state, active });
    expect(it_.steps).toEqual(steps);
    expect(it_.entered).toEqual(entered);
  });
});

describe('the table', () => {
  it('answers every event in every state', () => {
    const kinds: Event['kind'][] = ['probed', 'judged', 'ordered', 'done', 'failed', 'progressed', 'adopted'];
    expect(Object.keys(TRANSITIONS).sort()).toEqual([...FAILOVER_STATES].sort());
    for (const row of Object.values(TRANSITIONS)) expect(Object.keys(row).sort()).toEqual([...kinds].sort());
  });

  const steps: Step[] = [
    ...(['close-primary', 'promote', 'reopen-primary', 'settle-primary', 'settle-secondary'] as const),
    ...(['recover', 'close-secondary', 'drain', 'reopen-secondary', 'open-primary'] as const),
  ];
  const anyStep = fc.constantFrom(...steps);
  const anyEvent: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant('probed' as const), primary: fc.boolean(), secondary: fc.boolean(), atMs: fc.nat() }),
    fc.record({ kind: fc.constant('judged' as const), ok: fc.boolean(), refusals: fc.constant('x') }),
    fc.record({
      kind: fc.constant('ordered' as const),
      verb: fc.constantFrom('failover' as const, 'failback' as const),
      how: fc.constantFrom('crash' as const, 'switchover' as const),
    }),
    fc.record({ kind: fc.constant('done' as const), step: anyStep }),
    fc.record({ kind: fc.constant('failed' as const), step: anyStep, reason: fc.constant('x') }),
    fc.record({ kind: fc.constant('progressed' as const), ready: fc.boolean() }),
  );

  it('G6 never opens a side but through the work that closes the other, in any history of events', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), (events) => {
        let state: MachineState = initialState();
        let row: { state: FailoverState; active: string; phase: string } = {
          state: 'PRIMARY_ACTIVE',
          active: 'primary',
          phase: 'open',
        };
        for (const event of events) {
          const outcome = step(state, event, { failover: 3, failback: 5 });
          for (const effect of outcome.effects) {
            if (effect.kind !== 'enter') continue;
            expectSound(row, effect, event);
            row = effect;
          }
          state = outcome.state;
          expect(state.durable).toBe(row.state);
          expect(state.active).toBe(row.active);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function expectSound(
  from: { state: FailoverState; active: string; phase: string },
  to: Extract<Effect, { kind: 'enter' }>,
  event: Event,
): void {
  expect(DURABLE_STATES).toContain(to.state);
  // The active side changes under a hold only, and a side opens only from a hold or stays open.
  if (from.active !== to.active) expect(to.phase).toBe('hold');
  if (to.phase === 'open' && from.phase === 'hold') {
    const opener: Record<string, Step[]> = {
      SECONDARY_ACTIVE: ['promote', 'reopen-secondary'],
      PRIMARY_ACTIVE: ['reopen-primary', 'open-primary'],
    };
    expect(event.kind).toBe('done');
    expect(opener[to.state]).toContain((event as Extract<Event, { kind: 'done' }>).step);
  }
  if (to.phase === 'open') expect(to.active).toBe(to.state === 'PRIMARY_ACTIVE' ? 'primary' : 'secondary');
}
