/**
 * The failover part of the demo: the application's pool follows the controller to the standby and back, while it writes.
 * Planned, because that is the promise that can be checked row by row: nothing is lost in either direction.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { RedundancyError } from '../core/errors.js';
import type { FailoverState, Verb } from '../core/failover.js';
import type { Controller } from '../failover/controller.js';
import type { Background } from './background.js';
import { count, type DemoView, seconds } from './demo-view.js';
import type { Workload } from './workload.js';

const POLL_MS = 25;
const TIMEOUT_MS = 30_000;
/** The application works so long on each side before the next step. */
const WORK_MS = 2500;

export interface FailoverParts {
  readonly background: Background;
  readonly controller: Controller;
  readonly workload: Workload;
  readonly view: DemoView;
}

/** Failover, work on the standby, failback. Rejects with a RedundancyError when a step is refused or lasts too long. */
export async function showFailover(parts: FailoverParts): Promise<void> {
  const { background, view, workload } = parts;
  await untilState(parts, 'PRIMARY_ACTIVE');
  await background.wait(sleep(WORK_MS / 2));
  await order(parts, 'failover', 'The standby is the active database');
  const before = workload.committed;
  await background.wait(sleep(WORK_MS));
  const there = workload.committed - before;
  view.check({ passed: there > 0, text: `${count(there)} transactions committed on the standby meanwhile` });
  await untilState(parts, 'READY');
  view.check({ passed: true, text: 'What was written there was copied to the primary, continuously' });
  await order(parts, 'failback', 'The primary is the active database again');
  await background.wait(sleep(WORK_MS / 2));
}

async function order({ background, controller, view, workload }: FailoverParts, verb: Verb, text: string) {
  workload.longestPauseMs = 0;
  workload.givenUp = 0;
  const result = await background.wait(
    controller.order({
      verb,
      actor: 'demo',
      reason: 'the demo shows it',
      dryRun: false,
      force: false,
      allowDataLoss: false,
    }),
  );
  if (!result.done) {
    throw new RedundancyError(`The ${verb} did not happen: ${result.message}`, {
      code: 'demo-failover',
      remedy: 'Messages above, if there are any, say why; on a machine that is very busy, run the demo again.',
    });
  }
  const felt = () =>
    `the application waited ${seconds(workload.longestPauseMs / 1000)}, and repeated ${workload.givenUp} transactions`;
  const begun = workload.committed;
  await background.wait(until(() => workload.committed > begun + 20, 'the application goes on'));
  view.check({ passed: true, text: `${text}, epoch ${result.epoch}: ${felt()}` });
}

async function untilState({ background, controller }: FailoverParts, state: FailoverState): Promise<void> {
  await background.wait(
    until(() => controller.snapshot().leads && controller.snapshot().state === state, `the controller is ${state}`),
  );
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  while (!condition()) {
    if (performance.now() > deadline) {
      throw new RedundancyError(`The demo waited ${TIMEOUT_MS / 1000} seconds for this: ${what}.`, {
        code: 'demo-failover',
        remedy: 'Messages above, if there are any, say why; on a machine that is very busy, run the demo again.',
      });
    }
    await sleep(POLL_MS);
  }
}
