import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createRedactor } from '../../src/core/redact.js';
import { Secret } from '../../src/core/secret.js';
import { createLogger, LOG_PREFIX, type LoggerOptions } from '../../src/log/logger.js';

class Sink extends Writable {
  text = '';
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
  get lines(): Record<string, unknown>[] {
    return this.text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

function open(options: Partial<LoggerOptions> = {}) {
  const sink = new Sink();
  const redact = createRedactor(['pass"word\\1']);
  return { sink, logger: createLogger({ level: 'info', redact, destination: sink, ...options }) };
}

describe('JSON lines', () => {
  it('have level, time, the prefix once, and the fields', () => {
    const { sink, logger } = open();
    logger.info({ records: 150 }, 'Sync completed: 150 records updated');
    expect(sink.lines).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        records: 150,
        msg: `${LOG_PREFIX}Sync completed: 150 records updated`,
      },
    ]);
  });

  it.each<[string, (logger: ReturnType<typeof open>['logger']) => void, string]>([
    ['a message', (logger) => logger.info('plain'), 'plain'],
    ['values', (logger) => logger.info('%s has %d rows', 'users', 3), 'users has 3 rows'],
    ['fields and values', (logger) => logger.info({ a: 1 }, '%s', 'x'), 'x'],
    ['a per cent sign', (logger) => logger.info('100%s of %d'), '100%s of %d'],
    ['an error alone', (logger) => logger.info(new Error('boom')), 'boom'],
    ['an error as a field', (logger) => logger.info({ err: new Error('boom') }), 'boom'],
    ['fields alone', (logger) => logger.info({ a: 1 }), ''],
    ['a child', (logger) => logger.child({ table: 'users' }).info('from a child'), 'from a child'],
  ])('begin with the prefix for %s', (_name, log, message) => {
    const { sink, logger } = open();
    log(logger);
    expect(sink.lines.map((line) => line.msg)).toEqual([LOG_PREFIX + message]);
  });

  it('keep below the level', () => {
    const { sink, logger } = open({ level: 'warn' });
    logger.info('no');
    logger.warn('yes');
    expect(sink.lines).toHaveLength(1);
  });

  it('carry errors with code, stack and cause', () => {
    const { sink, logger } = open();
    const error = Object.assign(new Error('outer', { cause: new Error('inner') }), { code: '40001' });
    logger.error({ err: error }, 'failed');
    expect(sink.lines[0]?.err).toMatchObject({
      type: 'Error',
      message: 'outer',
      code: '40001',
      stack: expect.any(String),
      cause: { message: 'inner' },
    });
  });
});

describe('secrets', () => {
  const password = 'pass"word\\1';
  const url = `postgresql://u:${encodeURIComponent(password)}@h/d`;
  it.each<[string, (logger: ReturnType<typeof open>['logger']) => void]>([
    ['the message', (logger) => logger.info(`connect ${url} with ${password}`)],
    ['a value of the message', (logger) => logger.info('with %s and %o', password, { password })],
    ['a field', (logger) => logger.info({ url, nested: { list: [password] } }, 'x')],
    ['an error', (logger) => logger.error(Object.assign(new Error(`no ${password}`), { detail: url }))],
    ['a cause', (logger) => logger.error({ err: new Error('x', { cause: new Error(password) }) }, 'x')],
    ['the binding of a child', (logger) => logger.child({ url }).info('x')],
    ['a Secret', (logger) => logger.info({ secret: new Secret(password) }, 'x')],
  ])('are taken out of %s', (_name, log) => {
    const { sink, logger } = open();
    log(logger);
    expect(sink.lines).toHaveLength(1);
    expect(sink.text).toContain('[redacted]');
    for (const spelling of [password, JSON.stringify(password).slice(1, -1), encodeURIComponent(password)]) {
      expect(sink.text).not.toContain(spelling);
    }
  });
});

it('readable lines on a terminal', () => {
  const terminal = Object.assign(new Sink(), { isTTY: true });
  open({ destination: terminal }).logger.warn({ table: 'users' }, 'Table paused');
  expect(terminal.text).toMatch(/WARN.*\[DB-Redundancy\] Table paused/);
  expect(() => terminal.lines).toThrow();
});
