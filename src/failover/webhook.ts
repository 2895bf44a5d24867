/** Tells DB_ALERT_WEBHOOK_URL of every transition and alert: in the background, bounded, and never a reason to wait. */
import type { Log } from '../core/log.js';
import type { Secret } from '../core/secret.js';

export interface Notice {
  readonly event: 'transition' | 'alert';
  readonly stream: string;
  readonly state: string;
  readonly epoch: number;
  readonly active: string;
  /** One sentence; `text` is what chat services show. */
  readonly text: string;
  readonly actor: string;
  readonly reason: string;
  readonly at: string;
}

const TIMEOUT_MS = 5000;
/** A receiver that hangs must not collect requests. */
const MOST_WAITING = 20;

export class Webhook {
  readonly #url: Secret | null;
  readonly #log: Log;
  #waiting = 0;
  #queue: Promise<void> = Promise.resolve();

  constructor(url: Secret | null, log: Log) {
    this.#url = url;
    this.#log = log;
  }

  /** In order. Returns at once. */
  send(notice: Notice): void {
    const url = this.#url?.reveal();
    if (url === undefined || this.#waiting >= MOST_WAITING) return;
    this.#waiting += 1;
    this.#queue = this.#queue
      .then(() => this.#post(url, notice))
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  /** Until everything sent has been received or given up. */
  async flushed(): Promise<void> {
    await this.#queue;
  }

  async #post(url: string, notice: Notice): Promise<void> {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(notice),
        signal: AbortSignal.timeout(TIMEOUT_MS),
        redirect: 'error',
      });
      await response.body?.cancel();
      if (!response.ok) this.#log.warn({ status: response.status }, 'The alert webhook refused a notice');
    } catch (error) {
      // The cause may hold the URL, which is a secret.
      this.#log.warn({ error: error instanceof Error ? error.name : 'error' }, 'The alert webhook cannot be reached');
    }
  }
}
