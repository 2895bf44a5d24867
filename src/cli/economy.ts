/** Economy mode and budgets of a process: one object that is built first, and knows stream and controller when they are there. */
import type { AuthorityOptions } from '../authority/authority.js';
import { systemClock } from '../core/clock.js';
import { ALWAYS_AWAKE, type EconomyView } from '../core/economy.js';
import { readNeonEndpoint } from '../economy/neon-api.js';
import { NeonWatch } from '../economy/neon-watch.js';
import { Rest } from '../economy/rest.js';
import { RouterReports } from '../economy/router-reports.js';
import { Usage } from '../economy/usage.js';
import { LinkUsageStore } from '../economy/usage-store.js';
import type { Controller } from '../failover/controller.js';
import type { Streamer } from '../streamer/streamer.js';
import type { Runtime } from './runtime.js';

/** With DB_BUDGET_HARD, above a budget: changes of so long go into one transaction. */
const HARD_BREATH_MS = 10_000;

export interface EconomyParts {
  /** Its metadata connection is used; its stream is counted where it runs. */
  readonly streamer: Streamer;
  readonly streams: boolean;
  readonly controller: Controller | null;
}

export class Economy {
  readonly rest: Rest | null;
  readonly #runtime: Runtime;
  readonly #reports: RouterReports;
  readonly #neon: NeonWatch | null;
  #parts: EconomyParts | null = null;
  #usage: Usage | null = null;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
    const { config, logger } = runtime;
    const { idleDetachMs, maxDetachMs } = config.economy;
    const common = { clock: systemClock, log: logger };
    const onUseElsewhere = () => this.#parts?.controller?.heardOfUse();
    this.rest =
      idleDetachMs === 0 ? null : new Rest({ ...common, idleMs: idleDetachMs, maxMs: maxDetachMs, onUseElsewhere });
    this.#reports = new RouterReports(systemClock, this.rest ?? ALWAYS_AWAKE, (failure) =>
      this.#parts?.controller?.heardFailure(failure),
    );
    const { neon, neonApiKey: apiKey } = config;
    this.#neon =
      neon && apiKey && this.rest
        ? new NeonWatch({ ...common, rest: this.rest, read: (signal) => readNeonEndpoint({ ...neon, apiKey }, signal) })
        : null;
  }

  get authority(): AuthorityOptions {
    return { onReport: (request) => this.#reports.heard(request) };
  }

  /** For those that talk to the secondary. */
  readonly onStatement = (text: string): void => this.#usage?.statement(text);

  /** How many times as seldom sweep and verify come. */
  readonly pace = (): number => this.#usage?.pace ?? 1;

  readonly breathMs = (): number => (this.#runtime.config.budget.hard && this.pace() > 1 ? HARD_BREATH_MS : 0);

  attach(parts: EconomyParts): void {
    const { config, logger } = this.#runtime;
    const { controller, streamer, streams } = parts;
    this.#parts = parts;
    this.#usage = new Usage({
      ...{ clock: systemClock, log: logger, budgets: config.budget },
      store: new LinkUsageStore(streamer.link, config.stream.name),
      // A streamer beside a controller leaves that count to it.
      awake: controller || config.controllerUrl === null ? () => this.#primaryAwake(controller) : null,
      snapshot: () => (streams ? streamer.snapshot() : null),
    });
  }

  view(): EconomyView {
    const { rest } = this;
    const lastWakeSeconds = this.#parts?.streamer.snapshot().rest?.lastWakeSeconds ?? null;
    return {
      rest: rest && { ...rest.view(), lastWakeSeconds },
      neon: this.#neon?.view() ?? null,
      budget: this.#usage?.view() ?? null,
    };
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#usage?.run(signal), this.#neon?.run(signal)]);
  }

  close(): void {
    this.rest?.close();
  }

  #primaryAwake(controller: Controller | null): boolean {
    if (this.rest && !this.rest.awake) return false;
    const snapshot = controller?.snapshot();
    return snapshot === undefined || (snapshot.leads && snapshot.primary.connected);
  }
}
