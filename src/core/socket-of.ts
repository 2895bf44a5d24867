import type { Socket } from 'node:net';
import type { ClientBase } from 'pg';

/**
 * The socket of a connection. pg has no way to end a session whose statement is running; destroying this does, and the
 * statement is rejected. A private field of pg: test/integration/pg-contract.test.ts says whether it is still there.
 */
export function socketOf(client: ClientBase): Socket {
  return (client as unknown as { connection: { stream: Socket } }).connection.stream;
}
