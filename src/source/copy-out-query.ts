/**
 * COPY ... TO STDOUT: its lines are handed on as they come, as bytes that are only there during the call. Touches pg's
 * query: test/integration/pg-contract.test.ts.
 */
import pg, { type ClientBase } from 'pg';

class CopyOutQuery extends pg.Query {
  readonly #onLine: (line: Buffer) => void;
  /** What the listener has thrown first. It is called by the socket, which nobody listens to for that. */
  failure: unknown = null;

  constructor(text: string, onLine: (line: Buffer) => void) {
    super(text);
    this.#onLine = onLine;
  }

  /** Called by pg for each message, of which the server makes one a line. */
  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    if (this.failure !== null) return;
    try {
      this.#onLine(chunk);
    } catch (error) {
      this.failure = error;
    }
  }
}

/** Resolves when the server has sent the last line. Rejects with its error, or with what `onLine` has thrown. */
export function copyOut(client: ClientBase, text: string, onLine: (line: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const query = new CopyOutQuery(text, onLine);
    const callback = (error: Error | null) => {
      const failure = error ?? query.failure;
      if (failure === null) resolve();
      else reject(failure);
    };
    client.query(Object.assign(query, { callback }));
  });
}
