/**
 * How a test file reaches what the whole run shares. The main process of vitest listens on loopback and starts a server,
 * or compiles the sources, when it is first asked to: a run of unit tests alone starts nothing.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inject } from 'vitest';

export interface SharedThings {
  /** Connection strings with the right to create databases. */
  primary: string;
  /** The oldest version that is supported as a primary. */
  oldestPrimary: string;
  secondary: string;
  cockroach: string;
  /** Folder of the compiled sources. */
  dist: string;
}

export interface CockroachInfo {
  readonly available: boolean;
  /** Where it was found; null when it was not. */
  readonly source: string | null;
  /** Why there is none, and what to set; null when there is one. */
  readonly reason: string | null;
}

declare module 'vitest' {
  interface ProvidedContext {
    brokerUrl: string;
    cockroach: CockroachInfo;
  }
}

/** In a test file. Waits for the start. @throws Error with the reason when what is asked for cannot be had. */
export async function ask(thing: keyof SharedThings): Promise<string> {
  const response = await fetch(`${inject('brokerUrl')}/${thing}`);
  const body = await response.text();
  if (!response.ok) throw new Error(`The test run has no ${thing}: ${body}`);
  return body;
}

/** In the main process. Each maker runs once, at the first request. */
export class Broker implements AsyncDisposable {
  readonly #server: Server;
  readonly #made = new Map<string, Promise<string>>();

  private constructor(makers: Record<keyof SharedThings, () => Promise<string>>) {
    this.#server = createServer((request, response) => {
      const thing = (request.url ?? '').slice(1);
      const maker = Object.hasOwn(makers, thing) ? makers[thing as keyof SharedThings] : undefined;
      if (maker === undefined) return void answer(response, 404, 'unknown');
      const made = this.#made.get(thing) ?? maker();
      this.#made.set(thing, made);
      made.then(
        (value) => answer(response, 200, value),
        (error: unknown) => answer(response, 500, error instanceof Error ? error.message : String(error)),
      );
    });
  }

  static async start(makers: Record<keyof SharedThings, () => Promise<string>>): Promise<Broker> {
    const broker = new Broker(makers);
    await new Promise<void>((resolve, reject) => {
      broker.#server.once('error', reject);
      broker.#server.listen(0, '127.0.0.1', resolve);
    });
    return broker;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Stops listening, and waits for what is being made, so that the caller can take it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await Promise.allSettled(this.#made.values());
  }
}

function answer(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(body);
}
