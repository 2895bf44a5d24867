/** A recovery serves one failover; a controller lives through many. Another begins when the former is finished. */
import type { Lsn } from '../core/lsn.js';
import type { DrainResult, Recovery, RecoveryProgress } from '../recovery/recovery.js';

const NOTHING: RecoveryProgress = {
  phase: 'following',
  tailMerged: false,
  lagMs: null,
  touchedKeys: 0,
  copiedKeys: 0,
  conflicts: 0,
  trouble: null,
};

export class RenewedRecovery implements Recovery {
  readonly #create: () => Recovery;
  #current: Recovery | null = null;

  constructor(create: () => Recovery) {
    this.#create = create;
  }

  notePosition(failoverEpoch: number): Promise<string> {
    return this.#use().notePosition(failoverEpoch);
  }

  follow(): void {
    this.#use().follow();
  }

  recoverPrimary(fenceLsn: Lsn): void {
    this.#use().recoverPrimary(fenceLsn);
  }

  primaryLost(): void {
    this.#current?.primaryLost();
  }

  progress(): RecoveryProgress {
    return this.#current?.progress() ?? NOTHING;
  }

  drain(signal: AbortSignal): Promise<DrainResult> {
    return this.#use().drain(signal);
  }

  handBack(): Promise<Lsn> {
    return this.#use().handBack();
  }

  async finish(): Promise<void> {
    const finished = this.#use();
    await finished.finish();
    this.#current = null;
  }

  /** What it has reached is stored: the next one goes on from there, here or in another process. */
  async stop(): Promise<void> {
    const stopped = this.#current;
    this.#current = null;
    await stopped?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #use(): Recovery {
    this.#current ??= this.#create();
    return this.#current;
  }
}
