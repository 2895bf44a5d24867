import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { StatementError } from '../../src/apply/target-session.js';
import { ConfigurationError, DecodeError, FencedError, RedundancyError } from '../../src/core/errors.js';
import { classify, type PolicyAction, sqlstateOf } from '../../src/core/policy.js';
import { NODE_CODES, SQLSTATE_CLASSES, SQLSTATES } from '../../src/core/policy-table.js';

function databaseError(code: string, message = 'server says no'): pg.DatabaseError {
  return Object.assign(new pg.DatabaseError(message, 0, 'error'), { code, severity: 'ERROR' });
}

/** Every class of appendix A of PostgreSQL's manual, with what is done about its general error. */
const CLASSES: Record<PolicyAction, string> = {
  retry: '08000 26000 40000 53000 57000 58000 72000 XX000',
  bisect: '09000 10608 20000 21000 22000 23000 27000 2F000 38000 39000 3F000 42000 44000 54000 P0000',
  halt: '00000 01000 02000 03000 0A000 0B000 0F000 0L000 0P000 0Z000 24000 25000 28000 2B000 2D000 34000 3B000 3D000 55000 F0000 HV000',
  'reread-checkpoint': '',
};

/** Single codes that matter, some of them against their class. */
const CODES: Record<PolicyAction, string> = {
  retry:
    '08001 08004 08P01 40001 40P01 53100 53200 53300 53400 55006 55P03 25006 25P02 25P03 25P04 57014 57P03 57P05 58030 58C00 58C01 26000 XX000 XXUUU',
  'reread-checkpoint': '40003 08003 08006 08007 57P01 57P02 XXA00',
  bisect:
    '22001 22003 22007 22021 22P02 22P05 23502 23503 23505 23514 23P01 40002 42703 42P01 42804 42883 42P10 428C9 42601 54000 55P04 21000 P0001 44000',
  halt: '42501 3D000 28000 28P01 0A000 55000 57P04 58P01 XX001 XX002 XXC01 25001',
};

describe('classify by SQLSTATE', () => {
  for (const table of [CLASSES, CODES]) {
    for (const [action, codes] of Object.entries(table)) {
      it.each(codes.split(' ').filter(Boolean))(`%s: ${action}`, (code) => {
        expect(classify(databaseError(code))).toMatchObject({ action, sqlstate: code });
      });
    }
  }

  it('has a line for every class, and every hint is one sentence', () => {
    const covered = Object.values(CLASSES)
      .flatMap((codes) => codes.split(' '))
      .filter(Boolean);
    expect(new Set(covered.map((code) => code.slice(0, 2)))).toEqual(new Set(Object.keys(SQLSTATE_CLASSES)));
    for (const { hint } of [...SQLSTATES, ...Object.values(SQLSTATE_CLASSES), ...Object.values(NODE_CODES)]) {
      expect(hint).toMatch(/^[A-Z].*\.$/);
    }
  });

  it('has no line that a line above it hides', () => {
    const seen = SQLSTATES.filter((each) => each.message === undefined).map((each) => each.sqlstate);
    expect(new Set(seen).size).toBe(seen.length);
  });

  it('tells a stale prepared statement from a missing feature', () => {
    expect(classify(databaseError('0A000', 'cached plan must not change result type')).action).toBe('retry');
  });

  it('halts on a class that does not exist', () => {
    expect(classify(databaseError('99999'))).toMatchObject({ action: 'halt', sqlstate: '99999' });
  });
});

const nodeError = (code: string, syscall: string) => Object.assign(new Error(`${syscall} ${code}`), { code, syscall });

describe('classify without an SQLSTATE', () => {
  it.each<[string, Error, PolicyAction]>([
    ['refused', nodeError('ECONNREFUSED', 'connect'), 'retry'],
    ['name unknown', nodeError('ENOTFOUND', 'getaddrinfo'), 'retry'],
    ['reset while open', nodeError('ECONNRESET', 'read'), 'reread-checkpoint'],
    ['reset while connecting', nodeError('ECONNRESET', 'connect'), 'retry'],
    ['timed out while open', nodeError('ETIMEDOUT', 'read'), 'reread-checkpoint'],
    ['timed out while connecting', nodeError('ETIMEDOUT', 'connect'), 'retry'],
    ['pipe', nodeError('EPIPE', 'write'), 'reread-checkpoint'],
    ['all addresses refused', new AggregateError([nodeError('ECONNREFUSED', 'connect')]), 'retry'],
    ['cut', new Error('Connection terminated unexpectedly'), 'reread-checkpoint'],
    ['ended', new Error('Connection terminated'), 'reread-checkpoint'],
    ['connect timeout of pg', new Error('timeout expired'), 'retry'],
    ['connect timeout of the pool', new Error('timeout exceeded when trying to connect'), 'retry'],
    ['connect timeout with cause', new Error('Connection terminated due to connection timeout'), 'retry'],
    ['client gone', new Error('Client has encountered a connection error and is not queryable'), 'reread-checkpoint'],
    ['query timeout of pg', new Error('Query read timeout'), 'reread-checkpoint'],
    ['no TLS', new Error('The server does not support SSL connections'), 'halt'],
    ['certificate', nodeError('SELF_SIGNED_CERT_IN_CHAIN', 'connect'), 'halt'],
    ['no password', new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'halt'],
    ['a defect', new TypeError('x is not a function'), 'halt'],
    ['malformed message', new DecodeError('Unknown message at 0/1'), 'halt'],
    ['fenced', new FencedError('Another leader'), 'halt'],
    [
      'configuration, whatever its cause',
      new ConfigurationError('Wrong', { code: 'x', cause: databaseError('40001') }),
      'halt',
    ],
    ['wrapped', new RedundancyError('Apply failed', { code: 'apply', cause: databaseError('40001') }), 'retry'],
  ])('%s', (_name, error, action) => {
    expect(classify(error).action).toBe(action);
  });

  it.each([undefined, null, 'text', 42, {}])('halts on %s, which is no error', (thrown) => {
    expect(classify(thrown)).toMatchObject({ action: 'halt', sqlstate: null });
  });

  it('ends on causes in a circle', () => {
    const error = new Error('a');
    error.cause = new Error('b', { cause: error });
    expect(classify(error).action).toBe('halt');
  });

  it('gives the remedy of a typed error as the hint', () => {
    expect(classify(new RedundancyError('No', { code: 'x', remedy: 'Do this.' })).hint).toBe('Do this.');
  });
});

describe('sqlstateOf', () => {
  it('finds the nearest SQLSTATE, and takes no code of Node for one', () => {
    expect(sqlstateOf(new Error('outer', { cause: databaseError('23505') }))).toBe('23505');
    expect(sqlstateOf(nodeError('EPIPE', 'write'))).toBeNull();
    // A statement's error has a severity where the server sent one, and has none here.
    const lost = new StatementError(0, nodeError('EPIPE', 'write'));
    expect(sqlstateOf(lost)).toBeNull();
    expect(classify(lost)).toMatchObject({ action: 'reread-checkpoint', sqlstate: null });
    expect(sqlstateOf('text')).toBeNull();
  });
});
