import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRedactor, redactDeep, SHORTEST_FREE_SECRET } from '../../src/core/redact.js';
import { REDACTED, Secret } from '../../src/core/secret.js';

/** What is left beside the marks: a secret that is put together by a mark's neighbours must not appear either. */
const remains = (text: string) => text.replaceAll(REDACTED, '\u0000');

const secretText = fc.string({ unit: 'grapheme', minLength: SHORTEST_FREE_SECRET, maxLength: 40 });
const asciiSecret = fc.string({ minLength: SHORTEST_FREE_SECRET, maxLength: 40 });

describe('a secret never survives', () => {
  const spellings: Record<string, (secret: string) => string> = {
    plain: (secret) => secret,
    'percent-encoded': encodeURIComponent,
    'percent-encoded in small letters': (secret) =>
      encodeURIComponent(secret).replace(/%../g, (hex) => hex.toLowerCase()),
    'percent-encoded byte by byte': (secret) =>
      [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join(''),
    'in a JSON string': (secret) => JSON.stringify(secret).slice(1, -1),
    'in an SQL literal': (secret) => secret.replaceAll("'", "''"),
    'in a form': (secret) => new URLSearchParams({ k: secret }).toString().slice(2),
  };
  for (const [name, spell] of Object.entries(spellings)) {
    it(`spelled ${name}`, () => {
      fc.assert(
        fc.property(secretText, fc.string(), fc.string(), (secret, before, after) => {
          const spelled = spell(secret);
          const result = createRedactor([secret])(before + spelled + after);
          expect(result).toContain(REDACTED);
          expect(remains(result)).not.toContain(spelled);
        }),
      );
    });
  }

  it('when several secrets overlap', () => {
    fc.assert(
      fc.property(fc.array(asciiSecret, { minLength: 1, maxLength: 4 }), fc.array(fc.nat(40)), (secrets, cuts) => {
        const text = secrets.map((secret, index) => secret.slice(0, cuts[index] ?? 40) + secret).join('');
        const result = remains(createRedactor(secrets)(text));
        for (const secret of secrets) expect(result).not.toContain(secret);
      }),
    );
  });

  it('as the password of a URL, in every form of the URL', () => {
    fc.assert(
      fc.property(asciiSecret, (password) => {
        const url = `postgresql://app:${encodeURIComponent(password)}@db.example.com/main`;
        const redact = createRedactor([new Secret(url)]);
        for (const text of [url, new URL(url).href, `password is ${password}.`, JSON.stringify({ url, password })]) {
          const result = remains(redact(text));
          expect(result).not.toContain(password);
          expect(result).not.toContain(encodeURIComponent(password));
        }
      }),
    );
  });

  it('leaves no end of two secrets that overlap', () => {
    expect(createRedactor(['abcdef', 'defghi'])('x abcdefghi y')).toBe(`x ${REDACTED} y`);
  });
});

describe('what is not a secret stays', () => {
  it('keeps text without secrets as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'abcdef 0123%+\\"') }), (text) => {
        expect(createRedactor(['Secret-Password'])(text)).toBe(text);
      }),
    );
  });

  it('replaces a very short secret only where it stands alone', () => {
    const redact = createRedactor(['ab']);
    expect(redact('password=ab, table abacus')).toBe(`password=${REDACTED}, table abacus`);
  });

  it('ignores empty secrets and nulls', () => {
    expect(createRedactor(['', null, undefined])('some text')).toBe('some text');
  });
});

describe('credentials of unknown secrets', () => {
  it.each([
    ['connect to postgresql://app:hunter2@db/main failed', `connect to postgresql://app:${REDACTED}@db/main failed`],
    ['{"authorization":"Bearer abc.def"}', `{"authorization":"Bearer ${REDACTED}"}`],
    ['Authorization: Bearer abc', `Authorization: Bearer ${REDACTED}`],
    ['a bearer token is needed', 'a bearer token is needed'],
  ])('%s', (text, expected) => {
    expect(createRedactor([])(text)).toBe(expected);
  });
});

describe('redactDeep', () => {
  it('walks objects, arrays and errors with their causes', () => {
    const cause = new Error('inner hunter22');
    const error = Object.assign(new Error('outer hunter22', { cause }), { detail: 'hunter22', code: '28P01' });
    const result = redactDeep(
      { error, list: ['hunter22'], secret: new Secret('x'), n: 1, ok: true },
      createRedactor(['hunter22']),
    );
    expect(JSON.stringify(result)).not.toContain('hunter22');
    expect(result).toMatchObject({
      error: { type: 'Error', code: '28P01' },
      list: [REDACTED],
      secret: REDACTED,
      n: 1,
      ok: true,
    });
  });

  it('ends on an object that holds itself', () => {
    const loop: Record<string, unknown> = { name: 'loop' };
    loop.self = loop;
    expect(JSON.stringify(redactDeep(loop, (text) => text))).toContain('[too deep]');
  });
});

describe('Secret', () => {
  it('shows itself only on purpose', () => {
    const secret = new Secret('hunter22');
    const shown = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }),
      inspect(secret, { showHidden: true }),
    ];
    for (const text of shown) expect(text).toContain(REDACTED);
    for (const text of shown) expect(text).not.toContain('hunter22');
    expect(secret.reveal()).toBe('hunter22');
  });
});
