/** What a server is asked before anything goes to it in binary. PostgreSQL is the oracle of the samples. */
import { describe, expect, it } from 'vitest';
import { BINARY_SAMPLES, takenInBinary } from '../../src/apply/binary-probe.js';
import { TargetSession } from '../../src/apply/target-session.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { query, withClient } from '../harness/sql.js';

const TAKEN = Object.keys(BINARY_SAMPLES).map((type) => (type === 'numeric' ? 'numeric(p,s)' : type));

describe('samples of binary values', () => {
  it.each(Object.entries(BINARY_SAMPLES))('are what PostgreSQL sends: %s', async (type, { oid, values }) => {
    await using pair = await createDatabasePair('probe');
    const send = type === 'bool' || type.startsWith('int') || type.startsWith('float') ? `${type}send` : null;
    const functions: Readonly<Record<string, string>> = { text: 'textsend', bytea: 'byteasend' };
    const name = send ?? functions[type] ?? `${type}_send`;
    const sent = await query(
      pair.primary.url,
      `SELECT v AS text, encode(${name}(v::${type}), 'hex') AS hex FROM unnest($1::text[]) AS u(v)`,
      [values.map(([text]) => text)],
    );
    expect(sent.map(({ hex, text }) => [text, hex])).toEqual(values);
    expect(await query(pair.primary.url, `SELECT '${type}'::regtype::oid::int AS oid`)).toEqual([{ oid }]);
  });
});

describeDialects('binary values', (dialect) => {
  it('are taken, of every type that is asked for', async () => {
    await using pair = await createDatabasePair('probe', dialect);
    await withClient(pair.secondary.url, async (client) => {
      expect([...(await takenInBinary(client, 'asked anew', 10_000))]).toEqual(TAKEN);
    });
  });

  it('are not taken of a type that the server reads differently, nor any where it refuses the question', async () => {
    await using pair = await createDatabasePair('probe', dialect);
    await withClient(pair.secondary.url, async (client) => {
      const asked = (change: (hex: string) => string) => {
        const other = Object.create(client, {
          query: {
            value: (question: { text: string; values: (Buffer | string)[] }) => {
              const values = question.values.map((value, i) =>
                i === 2 * TAKEN.indexOf('int8') && Buffer.isBuffer(value)
                  ? Buffer.from(change(value.toString('hex')), 'hex')
                  : value,
              );
              return client.query({ ...question, values });
            },
          },
        });
        return takenInBinary(other, `asked anew ${change('00')}`, 10_000);
      };
      const taken = await asked((hex) => `${hex.slice(0, -10)}00ffffffff`);
      expect([...taken]).toEqual(TAKEN.filter((type) => type !== 'int8'));
      expect([...(await asked((hex) => hex.slice(0, 20)))]).toEqual([]);
    });
  });

  it('are asked for when a session begins', async () => {
    await using pair = await createDatabasePair('probe', dialect);
    const session = await TargetSession.connect({ connectionString: pair.secondary.url });
    try {
      for (const type of ['int8', 'timestamptz', 'uuid', 'text'])
        expect(session.dialect.binaryElements).toContain(type);
      expect(session.dialect.binaryElements.has('numeric')).toBe(dialect === 'postgres');
    } finally {
      await session.close();
    }
  });
});
