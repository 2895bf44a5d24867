/** Rounds of one fault, or two at once, chosen by the seed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Random } from '../../integration/support/random.js';
import type { Happened, Stage } from './episode.js';
import type { Fault } from './faults.js';

export async function misfortunes(
  { cluster, note, seed }: Stage,
  faults: readonly Fault[],
  rounds: number,
): Promise<Happened> {
  const random = new Random(seed);
  let missed = 0;
  const fitting = faults.filter(({ dialect }) => dialect === undefined || dialect === cluster.dialect);
  const choose = () => random.weighted(fitting.map((fault) => [fault.weight, fault] as const)).plan(random);
  for (let i = 0; i < rounds; i++) {
    const plans = random.chance(0.3) ? [choose(), choose()] : [choose()];
    const rest = random.int(0, 2500);
    note(plans.map(({ what }) => what).join(' + '));
    // A fault that needs a server that another one has taken away is no fault of the system.
    const outcomes = await Promise.allSettled(plans.map((plan) => plan.run(cluster)));
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      missed += 1;
      note(`(${String(outcome.reason)})`);
    }
    await sleep(rest);
    // A network that has forgotten a connection, and two systems that never notice, would be another fault than all these.
    for (const link of Object.values(cluster.links)) link.endDead();
  }
  return { missed };
}
