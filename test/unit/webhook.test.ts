/** Notices go out in order, and a receiver that hangs or refuses holds nobody up. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { Secret } from '../../src/core/secret.js';
import { type Notice, Webhook } from '../../src/failover/webhook.js';

const entries: string[] = [];
const log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (details: object, message: string) => void entries.push(`${message} ${JSON.stringify(details)}`),
  error: () => undefined,
};
const servers: Server[] = [];
afterEach(() => {
  entries.length = 0;
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function receiver(answer: (body: string) => number | null): Promise<string> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on('end', () => {
      const status = answer(body);
      if (status !== null) response.writeHead(status).end();
    });
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-path`;
}

const notice = (epoch: number): Notice => ({
  event: 'transition',
  stream: 's',
  state: 'SECONDARY_ACTIVE',
  epoch,
  active: 'secondary',
  text: 'text',
  actor: 'controller',
  reason: 'reason',
  at: '2026-01-24T20:00:00.000Z',
});

it('sends each notice as JSON, in order', async () => {
  const got: Notice[] = [];
  const url = await receiver((body) => {
    got.push(JSON.parse(body) as Notice);
    return 204;
  });
  const webhook = new Webhook(new Secret(url), log);
  for (const epoch of [1, 2, 3]) webhook.send(notice(epoch));
  await webhook.flushed();
  expect(got).toEqual([notice(1), notice(2), notice(3)]);
  expect(entries).toEqual([]);
});

it('says when it is refused, without the URL, and goes on', async () => {
  const url = await receiver(() => 500);
  const webhook = new Webhook(new Secret(url), log);
  webhook.send(notice(1));
  await webhook.flushed();
  expect(entries).toHaveLength(1);
  const gone = new Webhook(new Secret('http://127.0.0.1:1/secret-path'), log);
  gone.send(notice(2));
  await gone.flushed();
  expect(entries).toHaveLength(2);
  expect(entries.join()).not.toContain('secret-path');
});

it('does not collect notices for a receiver that hangs, and returns at once', async () => {
  let requests = 0;
  const url = await receiver(() => {
    requests += 1;
    return null;
  });
  const webhook = new Webhook(new Secret(url), log);
  const begun = performance.now();
  for (let i = 0; i < 1000; i++) webhook.send(notice(i));
  expect(performance.now() - begun).toBeLessThan(500);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(requests).toBeLessThanOrEqual(1);
});
