/**
 * Ports below the range from which the kernel serves outgoing connections: a server that is stopped and started again
 * at its port (a killed primary, a proxy that refuses for a while) never finds it taken by somebody's client socket.
 * PostgreSQL cannot bind port 0, so a port is tried, released and handed over; the caller retries when it lost the race.
 */
import { createServer } from 'node:net';
import { RedundancyError } from '../core/errors.js';

const LOWEST = 15_000;
const HIGHEST = 32_000;
const ATTEMPTS = 200;

/** Ports promised to somebody in this process; two servers that start at once must not get the same one. */
const reserved = new Set<number>();

/** A port on 127.0.0.1 that nobody listens on, reserved in this process until `releasePort`. */
export async function reservePort(): Promise<number> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (reserved.has(port)) continue;
    reserved.add(port);
    if (await canListen(port)) return port;
    reserved.delete(port);
  }
  throw new RedundancyError(`No free port found on 127.0.0.1 between ${LOWEST} and ${HIGHEST}.`, {
    code: 'no-free-port',
    remedy: 'End programs that listen on many ports, or pass a port.',
  });
}

export function releasePort(port: number): void {
  reserved.delete(port);
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => server.close(() => resolve(true)));
  });
}
