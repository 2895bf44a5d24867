import { describe, expect, it } from 'vitest';
import { isPlainRollback, mayHaveCommitted, type Status, statementKinds } from '../../src/router/statements.js';

describe('kinds of statements', () => {
  it.each<[string, string[]]>([
    ['', []],
    [' ; ;', []],
    ['BEGIN', ['begin']],
    ['/* a /* nested */ one */ -- and a line\n begin', ['begin']],
    ['START TRANSACTION READ WRITE', ['begin']],
    ["INSERT INTO t VALUES ('; COMMIT;')", ['other']],
    ["INSERT INTO t VALUES (E'\\'; COMMIT;')", ['other']],
    ['SELECT $$; COMMIT; $$; COMMIT', ['other', 'commit']],
    ['SELECT $a$; $$ COMMIT; $a$', ['other']],
    ['SELECT ";COMMIT;" FROM t WHERE a = $1', ['other']],
    ['SELECT CASE WHEN true THEN 1 END', ['other']],
    ['end', ['commit']],
    ['COMMIT AND CHAIN', ['commit']],
    ["COMMIT PREPARED 'x'", ['other']],
    ["PREPARE TRANSACTION 'x'", ['commit']],
    ['PREPARE x AS SELECT 1', ['other']],
    ['ROLLBACK', ['rollback']],
    ['ABORT WORK', ['rollback']],
    ['ROLLBACK AND NO CHAIN', ['rollback']],
    ['ROLLBACK AND CHAIN', ['rollback-chain']],
    ['ROLLBACK TO SAVEPOINT a', ['other']],
    ['rollback work to a', ['other']],
    ["ROLLBACK PREPARED 'x'", ['other']],
    ['RELEASE SAVEPOINT cockroach_restart', ['commit']],
    ['RELEASE "cockroach_restart"', ['commit']],
    ['RELEASE SAVEPOINT a', ['other']],
  ])('%j: %j', (text, kinds) => expect(statementKinds(text)).toEqual(kinds));

  it.each(["SELECT 'open", '/* open', 'SELECT $a$ open', 'SELECT "open'])('cannot tell %j apart', (text) =>
    expect(statementKinds(text)).toBeNull(),
  );

  it('a plain rollback is nothing but that', () => {
    expect(isPlainRollback('/* c */ ROLLBACK;')).toBe(true);
    for (const text of ['ROLLBACK TO a', 'ROLLBACK; INSERT INTO t VALUES (1)', 'ROLLBACK AND CHAIN', '', undefined]) {
      expect(isPlainRollback(text)).toBe(false);
    }
  });
});

describe('what may have been kept', () => {
  it.each<[Status, string | undefined, boolean]>([
    ['I', 'INSERT INTO t VALUES (1)', true],
    ['I', 'CALL p()', true],
    ['I', 'BEGIN', false],
    ['I', 'BEGIN; INSERT INTO t VALUES (1)', false],
    ['I', 'BEGIN; INSERT INTO t VALUES (1); COMMIT', true],
    ['I', 'BEGIN; INSERT INTO t VALUES (1); ROLLBACK', false],
    ['T', 'INSERT INTO t VALUES (1)', false],
    ['T', 'SELECT CASE WHEN true THEN 1 END', false],
    ['T', 'COMMIT', true],
    ['T', '/* x */ END;', true],
    ['T', 'ROLLBACK; INSERT INTO t VALUES (1)', true],
    ['T', 'ROLLBACK TO SAVEPOINT a', false],
    ['T', 'RELEASE SAVEPOINT cockroach_restart', true],
    ['T', "SELECT 'open", true],
    ['T', undefined, true],
    ['E', 'COMMIT', false],
    ['E', 'COMMIT; INSERT INTO t VALUES (1)', true],
    ['E', 'INSERT INTO t VALUES (1); COMMIT', false],
    [null, undefined, true],
  ])('at %s, %j: %s', (status, text, expected) => expect(mayHaveCommitted(status, text)).toBe(expected));
});
