import { expect, it } from 'vitest';
import { TargetSession } from '../../src/apply/target-session.js';
import { raiseSequences } from '../../src/promotion/sequences.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { streamingPair } from './support/stream.js';

describeDialects('sequences of a secondary', (dialect) => {
  it('go on after the largest value that was streamed, when rows are inserted there', async () => {
    await using it_ = await streamingPair(
      `CREATE TABLE s (id serial PRIMARY KEY, v text);
       CREATE TABLE i (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
       CREATE SCHEMA "We ""ird"; CREATE TABLE "We ""ird"."T's" ("I d" smallserial PRIMARY KEY, v text);
       CREATE TABLE empty (id serial PRIMARY KEY, v text);
       INSERT INTO s (v) SELECT 'x' FROM generate_series(1, 41);
       INSERT INTO i (v) SELECT 'x' FROM generate_series(1, 7);
       INSERT INTO "We ""ird"."T's" (v) VALUES ('x');`,
      { dialect },
    );
    await it_.primary(`INSERT INTO s (v) VALUES ('42'); DELETE FROM i WHERE id = 7; INSERT INTO i (v) VALUES ('8')`);
    await it_.stream.caughtUp();
    await it_.stream.stop();
    const session = await TargetSession.connect({ connectionString: it_.pair.secondary.url });
    try {
      const tables = ['s', 'i', 'empty'].map((name) => ({ schema: 'public', name }));
      await raiseSequences(session, [...tables, { schema: 'We "ird', name: "T's" }], 'none');
      const inserted = async (table: string, column = 'id') =>
        Number((await it_.secondary(`INSERT INTO ${table} (v) VALUES ('promoted') RETURNING ${column} AS n`))[0]?.n);
      expect(await inserted('s')).toBe(43);
      expect(await inserted('s')).toBe(44);
      expect(await inserted('i')).toBe(9);
      expect(await inserted('"We ""ird"."T\'s"', '"I d"')).toBe(2);
      expect([1, 2]).toContain(await inserted('empty'));
      // A four-byte column: a share of what is left of it.
      await raiseSequences(session, tables, 'unseen');
      expect(await inserted('s')).toBe(131_116);
    } finally {
      await session.close();
    }
  });
});

describeDialects('sequences near their end', (dialect) => {
  it('leave half of what is left, and where nothing is left the side opens all the same', async () => {
    await using it_ = await streamingPair(
      `CREATE TABLE near (id smallserial PRIMARY KEY, v text); INSERT INTO near VALUES (32700, 'x');
       CREATE TABLE spent (id smallserial PRIMARY KEY, v text); INSERT INTO spent VALUES (32767, 'x');
       CREATE TABLE narrow (id int2 PRIMARY KEY, v text); CREATE SEQUENCE wide; ALTER TABLE narrow ALTER id SET DEFAULT nextval('wide');
       INSERT INTO narrow VALUES (32000, 'x');`,
      { dialect },
    );
    await it_.stream.caughtUp();
    await it_.stream.stop();
    const session = await TargetSession.connect({ connectionString: it_.pair.secondary.url });
    const insert = async (table: string) =>
      Number((await it_.secondary(`INSERT INTO ${table} (v) VALUES ('promoted') RETURNING id`))[0]?.id);
    try {
      const tables = ['near', 'spent', 'narrow'].map((name) => ({ schema: 'public', name }));
      await raiseSequences(session, tables, 'unseen');
      expect(await insert('near')).toBe(32_734);
      expect(await insert('narrow')).toBe(32_384);
      await expect(insert('spent')).rejects.toMatchObject({ code: expect.stringMatching(/^(2200H|22003)$/) });
    } finally {
      await session.close();
    }
  });
});
