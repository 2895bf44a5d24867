/** A TCP relay on loopback that lets every byte wait: a database that is far away. */
import { createServer, Socket } from 'node:net';
import { releasePort, reservePort } from '../demo/free-port.js';

export interface Relay {
  readonly url: string;
  close(): void;
}

/** As much may be under way as on a fast line across an ocean. */
const WINDOW_BYTES = 8 << 20;

/** @param url of the database; @param oneWayMs delay of each direction */
export async function startRelay(url: string, oneWayMs: number): Promise<Relay> {
  const near = new URL(url);
  const target = { host: near.hostname || '127.0.0.1', port: Number(near.port || 5432) };
  const port = await reservePort();
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const far = new Socket();
    far.setNoDelay(true);
    for (const [from, to] of [
      [client, far],
      [far, client],
    ] as const) {
      open.add(from);
      delayed(from, to, oneWayMs);
      from.on('error', () => undefined);
      from.on('close', () => {
        open.delete(from);
        setTimeout(() => to.destroy(), oneWayMs);
      });
    }
    far.connect(target);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  near.hostname = '127.0.0.1';
  near.port = String(port);
  return {
    url: near.href,
    close() {
      server.close();
      for (const socket of open) socket.destroy();
      releasePort(port);
    },
  };
}

function delayed(from: Socket, to: Socket, oneWayMs: number): void {
  let waiting = 0;
  from.on('data', (data: Buffer) => {
    waiting += data.length;
    if (waiting > WINDOW_BYTES) from.pause();
    // Timers of one length run in the order in which they were set: bytes stay in order.
    setTimeout(() => {
      waiting -= data.length;
      if (!to.destroyed) to.write(data);
      if (waiting <= WINDOW_BYTES && from.isPaused()) from.resume();
    }, oneWayMs);
  });
}
