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
      await raiseSequences(session, [...tables, { schema: 'We "ird', name: "T's" }], 0n);
      const inserted = async (table: string, column = 'id') =>
        Number((await it_.secondary(`INSERT INTO ${table} (v) VALUES ('promoted') RETURNING ${column} AS n`))[0]?.n);
      expect(await inserted('s')).toBe(43);
      expect(await inserted('s')).toBe(44);
      expect(await inserted('i')).toBe(9);
      expect(await inserted('"We ""ird"."T\'s"', '"I d"')).toBe(2);
      expect([1, 2]).toContain(await inserted('empty'));
      await raiseSequences(session, tables, 1000n);
      expect(await inserted('s')).toBe(1045);
    } finally {
      await session.close();
    }
  });
});
