/**
 * What passes a proxy, as PostgreSQL's protocol: connections, queries and replication by whom, what waits for its answer,
 * and how long a compute with Neon's rule would have been awake: five minutes after the last query, and as long as a
 * walsender is attached.
 */
import type { Clock } from '../../src/core/clock.js';
import type { Direction, TcpProxy } from './proxy.js';

const SLEEPS_AFTER_MS = 300_000;

interface Lane {
  rest: Buffer;
  started: boolean;
}

interface Connection {
  name: string;
  ours: boolean;
  replicates: boolean;
  unanswered: number;
  readonly lanes: Readonly<Record<Direction, Lane>>;
}

export interface Counts {
  connections: number;
  queries: number;
}

export class PostgresTraffic {
  readonly ours: Counts = { connections: 0, queries: 0 };
  readonly others: Counts = { connections: 0, queries: 0 };
  /** Moves with every byte. */
  changes = 0;
  /** Texts of our queries, since they were last taken. */
  texts: string[] = [];
  readonly #clock: Clock;
  readonly #open = new Map<number, Connection>();
  #awakeMs = 0;
  #from: number | null = null;
  #until = 0;

  constructor(proxy: TcpProxy, clock: Clock) {
    this.#clock = clock;
    proxy.onData = (direction, data, id) => this.#seen(direction, data, id);
    proxy.onClose = (id) => {
      if (this.#open.get(id)?.replicates) this.#contact();
      this.#open.delete(id);
      this.changes += 1;
    };
  }

  get unanswered(): number {
    let count = 0;
    for (const each of this.#open.values()) count += each.unanswered;
    return count;
  }

  /** Connections of ours that are open now. */
  get oursOpen(): number {
    return [...this.#open.values()].filter((each) => each.ours).length;
  }

  /** A walsender that is attached keeps the compute awake: to be called after each step of the clock. */
  tick(): void {
    if ([...this.#open.values()].some((each) => each.replicates)) this.#contact();
  }

  /** Seconds awake until now. */
  get awakeSeconds(): number {
    if (this.#from === null) return 0;
    return (this.#awakeMs + Math.min(this.#until, this.#clock.monotonic()) - this.#from) / 1000;
  }

  #contact(): void {
    const now = this.#clock.monotonic();
    if (this.#from === null || now > this.#until) {
      if (this.#from !== null) this.#awakeMs += this.#until - this.#from;
      this.#from = now;
    }
    this.#until = now + SLEEPS_AFTER_MS;
  }

  #seen(direction: Direction, data: Buffer, id: number): void {
    this.changes += 1;
    let connection = this.#open.get(id);
    if (!connection) {
      const lane = () => ({ rest: Buffer.alloc(0), started: false });
      connection = {
        ...{ name: '', ours: false, replicates: false, unanswered: 0 },
        lanes: { toTarget: lane(), toClient: lane() },
      };
      this.#open.set(id, connection);
      this.#contact();
    }
    const lane = connection.lanes[direction];
    let buffer = lane.rest.length === 0 ? data : Buffer.concat([lane.rest, data]);
    for (;;) {
      const head = direction === 'toTarget' && !lane.started ? 0 : 1;
      if (buffer.length < head + 4) break;
      const length = buffer.readInt32BE(head);
      if (buffer.length < head + length) break;
      const body = buffer.subarray(head + 4, head + length);
      if (head === 0) this.#startup(connection, lane, body);
      else this.#message(connection, direction, String.fromCharCode(buffer[0] as number), body);
      buffer = buffer.subarray(head + length);
    }
    lane.rest = Buffer.from(buffer);
  }

  #startup(connection: Connection, lane: Lane, body: Buffer): void {
    // A request for TLS or a cancellation; the startup proper follows the first.
    if (body.readInt32BE(0) !== 196_608) return;
    lane.started = true;
    const words = body.subarray(4).toString().split('\0');
    connection.name = words[words.indexOf('application_name') + 1] ?? '';
    connection.ours = /^db[-_]redundancy/.test(connection.name);
    connection.unanswered += 1;
    (connection.ours ? this.ours : this.others).connections += 1;
  }

  #message(connection: Connection, direction: Direction, type: string, body: Buffer): void {
    if (direction === 'toClient') {
      if (type === 'Z') connection.unanswered = Math.max(0, connection.unanswered - 1);
      if (type === 'W') {
        connection.unanswered = Math.max(0, connection.unanswered - 1);
        connection.replicates = true;
      }
      return;
    }
    if (type === 'Q' || type === 'S') connection.unanswered += 1;
    // Q: a simple query; E: an extended one is executed.
    if (type !== 'Q' && type !== 'E') return;
    const counts = connection.ours ? this.ours : this.others;
    counts.queries += 1;
    if (connection.ours)
      this.texts.push(`${connection.name}: ${type === 'Q' ? body.toString().slice(0, 80) : 'extended'}`);
    this.#contact();
  }
}
