/** The proxy with which tests break networks. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createDatabasePair } from './cluster.js';
import { TcpProxy } from './proxy.js';
import { query, withClient } from './sql.js';
import { waitFor } from './wait.js';

/** A server that answers every chunk with itself, and remembers what came. */
class EchoServer implements AsyncDisposable {
  received = '';
  readonly sockets = new Set<Socket>();
  readonly #server: Server = createServer((socket) => {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('data', (data) => {
      this.received += data.toString();
      socket.write(data);
    });
  });

  static async start(): Promise<EchoServer> {
    const echo = new EchoServer();
    echo.#server.listen(0, '127.0.0.1');
    await once(echo.#server, 'listening');
    return echo;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A client that remembers what came and how it ended. */
class Probe {
  received = '';
  ended: string | undefined;
  readonly socket: Socket;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (data) => {
      this.received += data.toString();
    });
    this.socket.on('end', () => {
      this.ended ??= 'end';
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.ended ??= error.code;
    });
  }

  async echo(text: string): Promise<void> {
    const wanted = this.received + text;
    this.socket.write(text);
    await waitFor(() => this.received === wanted, { what: `echo of ${text}` });
  }
}

describe('TcpProxy', () => {
  it('passes bytes both ways, an end as well, and counts', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    await probe.echo('hello');
    expect([proxy.connections, proxy.openConnections]).toEqual([1, 1]);
    expect(proxy.bytes).toEqual({ toTarget: 5, toClient: 5 });
    probe.socket.end();
    await waitFor(() => proxy.openConnections === 0, { what: 'both sides are closed' });
    await waitFor(() => probe.ended === 'end', { what: 'the end has come through' });
    await waitFor(() => echo.sockets.size === 0, { what: 'the server has let go' });
  });

  it('moves much data without mixing it up, also when the receiver is slow', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    const text = Array.from({ length: 200_000 }, (_, index) => `${index};`)
      .join('')
      .repeat(8);
    probe.socket.pause();
    probe.socket.write(text);
    await waitFor(() => proxy.bytes.toTarget > 1_000_000, { what: 'data is under way' });
    probe.socket.resume();
    await waitFor(() => probe.received.length === text.length, { what: 'all data is back' });
    expect(probe.received === text).toBe(true);
  });

  it('delays each direction, and limits the bandwidth', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    await probe.echo('warm');
    const timed = async (text: string) => {
      const start = performance.now();
      await probe.echo(text);
      return performance.now() - start;
    };
    proxy.delayMs = 60;
    expect(await timed('delayed')).toBeGreaterThanOrEqual(119);
    proxy.delayMs = 0;
    proxy.bytesPerSecond = 10_000;
    expect(await timed('x'.repeat(1_000))).toBeGreaterThanOrEqual(190);
  });

  it.each([
    ['rst', 'ECONNRESET'],
    ['fin', 'end'],
  ] as const)('cuts with %s', async (how, seen) => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    await probe.echo('hello');
    proxy.cut(how);
    await waitFor(() => probe.ended, { what: 'the client sees it' });
    expect(probe.ended).toBe(seen);
    await waitFor(() => echo.sockets.size === 0 && proxy.openConnections === 0, { what: 'the target sees it' });
    await new Probe(proxy.port).echo('again');
  });

  it('refuses and accepts at one port, while current connections go on', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const first = new Probe(proxy.port);
    await first.echo('a');
    await proxy.refuse();
    const refused = new Probe(proxy.port);
    await waitFor(() => refused.ended, { what: 'the refusal' });
    expect(refused.ended).toBe('ECONNREFUSED');
    await first.echo('b');
    await proxy.accept();
    await new Probe(proxy.port).echo('c');
    expect(proxy.connections).toBe(2);
  });

  it('lets bytes and resets vanish in one direction, and the connection stays dead', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    await probe.echo('a');
    proxy.swallow('toClient');
    probe.socket.write('lost answer');
    await waitFor(() => echo.received === 'alost answer', { what: 'the request arrives' });
    proxy.swallow('toTarget');
    const taken = new Promise((resolve) => {
      proxy.onData = (_direction, data) => resolve(data.toString());
    });
    probe.socket.write('lost request');
    expect(await taken).toBe('lost request');
    probe.socket.resetAndDestroy();
    proxy.resume();
    await new Probe(proxy.port).echo('b');
    expect(probe.received).toBe('a');
    expect(echo.received).toBe('alost answerb');
    expect(echo.sockets.size).toBe(2);
  });

  it('holds bytes back while stalled, and delivers them after', async () => {
    await using echo = await EchoServer.start();
    await using proxy = await TcpProxy.start({ port: echo.port });
    const probe = new Probe(proxy.port);
    await probe.echo('a');
    proxy.stall('toTarget');
    let seen = false;
    proxy.onData = () => {
      seen = true;
    };
    probe.socket.write('b');
    await waitFor(() => seen, { what: 'the proxy has the byte' });
    expect(echo.received).toBe('a');
    proxy.resume();
    await waitFor(() => probe.received === 'ab', { what: 'the byte after all' });
  });

  it('cuts after the second COMMIT: it took effect, and the client does not know', async () => {
    await using pair = await createDatabasePair('commit');
    await using proxy = await TcpProxy.start(pair.primary.url);
    await query(pair.primary.url, 'CREATE TABLE t (id int)');
    let commits = 0;
    proxy.onData = (direction, data) => {
      if (direction === 'toTarget' && data.includes('COMMIT')) commits += 1;
      return direction === 'toTarget' && commits === 2 ? 'forward-then-cut' : 'forward';
    };
    const lost = withClient(proxy.url(pair.primary.url), async (client) => {
      for (const id of [1, 2, 3]) {
        await client.query('BEGIN');
        await client.query('INSERT INTO t VALUES ($1)', [id]);
        await client.query('COMMIT');
      }
    });
    await expect(lost).rejects.toThrow(/ECONNRESET|terminated/);
    const rows = () => query(pair.primary.url, 'SELECT id FROM t ORDER BY id');
    await waitFor(async () => (await rows()).length === 2, { what: 'the second row is committed' });
    expect(await rows()).toEqual([{ id: 1 }, { id: 2 }]);
  });

  it('cuts before the COMMIT: it took no effect', async () => {
    await using pair = await createDatabasePair('commit');
    await using proxy = await TcpProxy.start(pair.primary.url);
    await query(pair.primary.url, 'CREATE TABLE t (id int)');
    proxy.onData = (_direction, data) => (data.includes('COMMIT') ? 'cut' : 'forward');
    const lost = withClient(proxy.url(pair.primary.url), (client) =>
      client
        .query('BEGIN')
        .then(() => client.query('INSERT INTO t VALUES (1)'))
        .then(() => client.query('COMMIT')),
    );
    await expect(lost).rejects.toThrow(/ECONNRESET|terminated/);
    expect(await query(pair.primary.url, 'LOCK TABLE t; SELECT id FROM t')).toEqual([]);
  });
});
