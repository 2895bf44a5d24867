/**
 * A TCP proxy on loopback that behaves like a bad network: it delays, throttles, cuts, refuses, and lets bytes vanish.
 * Tests put it between our program and a database, and may act exactly when certain bytes pass.
 */
import { createServer, type Server, Socket } from 'node:net';
import { releasePort, reservePort } from '../../src/demo/free-port.js';
import { type Direction, Lane } from './proxy-lane.js';

export type { Direction } from './proxy-lane.js';

/**
 * What becomes of the bytes that a hook saw. `forward-then-cut`: they reach the receiver, which then sees an orderly
 * end, while the sender sees a reset and never learns of any answer (the lost answer to a COMMIT).
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a hook that only looks returns nothing
export type Verdict = 'forward' | 'drop' | 'cut' | 'forward-then-cut' | void;

/** Called for every chunk before it goes on; a message of the protocol may be spread over chunks, or share one. */
export type DataHook = (direction: Direction, data: Buffer, connection: number) => Verdict;

export interface ProxyTarget {
  readonly host?: string;
  readonly port: number;
}

interface Connection {
  readonly id: number;
  readonly client: Socket;
  readonly target: Socket;
  readonly lanes: Readonly<Record<Direction, Lane>>;
}

const PORT_ATTEMPTS = 10;
const DIRECTIONS: readonly Direction[] = ['toTarget', 'toClient'];

export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  /** Where new connections go; a server that comes back at another port is named here. */
  target: ProxyTarget;
  onData: DataHook | undefined;
  /** Called when both ends of a connection are gone. */
  onClose: ((connection: number) => void) | undefined;
  /** One-way, in milliseconds, for each direction: a round trip takes twice as long. */
  delayMs = 0;
  /** For each direction of each connection; undefined: unlimited. */
  bytesPerSecond: number | undefined;
  /** Connections accepted so far. */
  connections = 0;
  /** Bytes handed to the receiving side so far. */
  readonly bytes: Record<Direction, number> = { toTarget: 0, toClient: 0 };
  readonly #open = new Set<Connection>();
  readonly #swallowing: Record<Direction, boolean> = { toTarget: false, toClient: false };
  readonly #stalled: Record<Direction, boolean> = { toTarget: false, toClient: false };
  #listener: Server | undefined;

  private constructor(target: ProxyTarget, port: number) {
    this.target = target;
    this.port = port;
  }

  /** @param target a port, or a connection string whose host and port are meant. */
  static async start(target: ProxyTarget | string): Promise<TcpProxy> {
    for (let attempt = 1; ; attempt += 1) {
      const proxy = new TcpProxy(typeof target === 'string' ? targetOf(target) : target, await reservePort());
      try {
        await proxy.accept();
        return proxy;
      } catch (error) {
        releasePort(proxy.port);
        if (attempt === PORT_ATTEMPTS) throw error;
      }
    }
  }

  /** The connection string with the proxy's address in place of the server's. */
  url(original: string): string {
    const url = new URL(original);
    url.hostname = '127.0.0.1';
    url.port = String(this.port);
    return url.href;
  }

  get openConnections(): number {
    return this.#open.size;
  }

  /** Ends all current connections, on both sides, with a reset or an orderly end. What is on its way is lost. */
  cut(how: 'rst' | 'fin' = 'rst'): void {
    for (const connection of [...this.#open]) this.#cutOne(connection, how);
  }

  /** New connections are refused (ECONNREFUSED); current ones go on. */
  async refuse(): Promise<void> {
    // The socket is closed at once; the callback would wait for the current connections.
    this.#listener?.close();
    this.#listener = undefined;
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Listens (again) at the same port. */
  async accept(): Promise<void> {
    if (this.#listener !== undefined) return;
    // Half-open sockets are allowed: an end is passed on like any other byte, in its place and with its delay.
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#connect(client));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen(this.port, '127.0.0.1', resolve);
    });
    this.#listener = listener;
  }

  /**
   * Bytes and ends vanish without a trace, as when a firewall forgets a connection. `resume` lets new connections and
   * those that lost nothing through again; one that lost bytes stays dead until it is cut.
   */
  swallow(direction: Direction | 'both' = 'both'): void {
    for (const each of DIRECTIONS) this.#swallowing[each] ||= direction === each || direction === 'both';
  }

  /** Bytes wait, and arrive after `resume`, as when a cable is pulled and put back. */
  stall(direction: Direction | 'both' = 'both'): void {
    for (const each of DIRECTIONS) this.#stalled[each] ||= direction === each || direction === 'both';
  }

  /** Ends `swallow` and `stall`. */
  resume(): void {
    for (const each of DIRECTIONS) {
      this.#swallowing[each] = false;
      this.#stalled[each] = false;
    }
    for (const { lanes } of this.#open) for (const each of DIRECTIONS) lanes[each].pump();
  }

  /** Ends the connections that lost bytes, as the keep-alive of both systems does sooner or later. */
  endDead(): void {
    for (const connection of [...this.#open])
      if (DIRECTIONS.some((direction) => connection.lanes[direction].silent)) this.#cutOne(connection, 'rst');
  }

  async close(): Promise<void> {
    await this.refuse();
    this.cut('rst');
    releasePort(this.port);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #connect(client: Socket): void {
    this.connections += 1;
    const target = new Socket({ allowHalfOpen: true });
    target.setNoDelay(true);
    const id = this.connections;
    const lane = (direction: Direction, from: Socket, to: Socket) =>
      new Lane(from, to, {
        delayMs: () => this.delayMs,
        bytesPerSecond: () => this.bytesPerSecond,
        stalled: () => this.#stalled[direction],
        swallowing: () => this.#swallowing[direction],
        delivered: (count) => {
          this.bytes[direction] += count;
        },
        seen: (data) => this.#judge(connection, direction, data),
      });
    const lanes = { toTarget: lane('toTarget', client, target), toClient: lane('toClient', target, client) };
    const connection: Connection = { id, client, target, lanes };
    this.#open.add(connection);
    for (const [socket, direction] of [
      [client, 'toTarget'],
      [target, 'toClient'],
    ] as const) {
      // A reset of one side is a reset of the other, unless nothing gets through.
      socket.on('error', () => {
        if (!lanes[direction].silent) this.#cutOne(connection, 'rst');
      });
      socket.on('close', () => {
        if (!client.destroyed || !target.destroyed || !this.#open.delete(connection)) return;
        this.onClose?.(id);
      });
    }
    target.connect(this.target.port, this.target.host ?? '127.0.0.1');
  }

  #judge(connection: Connection, direction: Direction, data: Buffer): boolean {
    const verdict = this.onData?.(direction, data, connection.id);
    if (verdict === 'cut') this.#cutOne(connection, 'rst');
    if (verdict === 'forward-then-cut') {
      connection.lanes[direction].finish(data);
      (direction === 'toTarget' ? connection.client : connection.target).resetAndDestroy();
      return false;
    }
    return verdict !== 'cut' && verdict !== 'drop';
  }

  #cutOne({ client, target }: Connection, how: 'rst' | 'fin'): void {
    for (const socket of [client, target]) {
      // After an orderly end a socket goes on reading, and closes when its peer has ended as well.
      if (how === 'rst' || socket.connecting) socket.resetAndDestroy();
      else socket.end();
    }
  }
}

function targetOf(url: string): ProxyTarget {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? 5432 : Number(port) };
}
