import { describe, expect, it } from 'vitest';
import { capabilitiesOf, versionNumbers } from '../../src/schema/capabilities.js';
import { typeKey } from '../../src/schema/mapped-type.js';
import type { TypeModel } from '../../src/schema/model.js';
import { mapType } from '../../src/schema/type-map.js';
import { arrayOf, builtIn, cockroach, postgres, userType } from './schema-builders.js';

const NONE = new Set<string>();
const email = userType('domain', 'app', 'email', { base: builtIn('varchar', 'character varying(50)') });
const status = userType('enum', 'Ap p', 'sta"tus');
const hstore = userType('base', 'ext', 'hstore', { extension: 'hstore' });
const citext = userType('base', 'ext', 'citext', { extension: 'citext' });

describe('types on CRDB', () => {
  const on = (type: TypeModel, dimensions = 0, capabilities = cockroach()): [string, string] => {
    const { sqlType, convert } = mapType({ type, dimensions }, capabilities, NONE);
    return [sqlType, convert];
  };

  it.each<[TypeModel, string]>([
    [builtIn('int2'), 'INT2'],
    [builtIn('int4'), 'INT4'],
    [builtIn('int8'), 'INT8'],
    [builtIn('numeric'), 'DECIMAL'],
    [builtIn('numeric', 'numeric(10,2)'), 'DECIMAL(10,2)'],
    [builtIn('numeric', 'numeric(10,0)'), 'DECIMAL(10)'],
    [builtIn('numeric', 'numeric(3,-2)'), 'DECIMAL'],
    [builtIn('numeric', 'numeric(3,5)'), 'DECIMAL'],
    [builtIn('float4'), 'FLOAT4'],
    [builtIn('float8'), 'FLOAT8'],
    [builtIn('bool'), 'BOOL'],
    [builtIn('text'), 'STRING'],
    [builtIn('varchar', 'character varying(20)'), 'VARCHAR(20)'],
    [builtIn('varchar'), 'STRING'],
    [builtIn('bpchar', 'character(5)'), 'CHAR(5)'],
    [builtIn('bytea'), 'BYTES'],
    [builtIn('uuid'), 'UUID'],
    [builtIn('date'), 'DATE'],
    [builtIn('time'), 'TIME'],
    [builtIn('time', 'time(3) without time zone'), 'TIME(3)'],
    [builtIn('timetz', 'time(0) with time zone'), 'TIMETZ(0)'],
    [builtIn('timestamp', 'timestamp(3) without time zone'), 'TIMESTAMP(3)'],
    [builtIn('timestamptz'), 'TIMESTAMPTZ'],
    [builtIn('interval'), 'INTERVAL'],
    [builtIn('interval', 'interval day to second(2)'), 'INTERVAL DAY TO SECOND(2)'],
    [builtIn('inet'), 'INET'],
    [builtIn('bit', 'bit(4)'), 'BIT(4)'],
    [builtIn('varbit'), 'VARBIT'],
    [builtIn('jsonb'), 'JSONB'],
    [status, '"Ap p"."sta""tus"'],
    [arrayOf(status), '"Ap p"."sta""tus"[]'],
    [arrayOf(builtIn('int4')), 'INT4[]'],
    [arrayOf(builtIn('varchar', 'character varying(7)')), 'VARCHAR(7)[]'],
    [email, 'VARCHAR(50)'],
    [arrayOf(email), 'VARCHAR(50)[]'],
    [builtIn('oid'), 'INT8'],
  ])('$0.display becomes $1 as it is', (type, expected) => {
    expect(on(type)).toEqual([expected, 'none']);
  });

  it.each<[TypeModel, string, string]>([
    [builtIn('json'), 'JSONB', 'json'],
    [builtIn('money'), 'DECIMAL(19,2)', 'money'],
    [hstore, 'JSONB', 'hstore'],
    [citext, 'STRING', 'text'],
    [builtIn('int4range'), 'STRING', 'text'],
    [builtIn('int4multirange'), 'STRING', 'text'],
    [builtIn('xml'), 'STRING', 'text'],
    [builtIn('cidr'), 'STRING', 'text'],
    [builtIn('point'), 'STRING', 'text'],
    [builtIn('tsvector'), 'STRING', 'text'],
    [arrayOf(builtIn('money')), 'STRING', 'text'],
    [arrayOf(builtIn('jsonb')), 'STRING', 'text'],
    [userType('composite', 'app', 'pair'), 'STRING', 'text'],
    [userType('base', 'public', 'text'), 'STRING', 'text'],
    [userType('domain', 'app', 'cash', { base: builtIn('money') }), 'DECIMAL(19,2)', 'money'],
  ])('$0.display becomes $1 by conversion $2', (type, expected, convert) => {
    expect(on(type)).toEqual([expected, convert]);
    expect(mapType({ type, dimensions: 0 }, cockroach(), NONE).note).not.toBeNull();
  });

  it('keeps arrays of more dimensions as text', () => {
    expect(on(arrayOf(builtIn('int4')), 2)).toEqual(['STRING', 'text']);
    expect(on(arrayOf(builtIn('int4')), 1)).toEqual(['INT4[]', 'none']);
  });

  it('takes a type that this version has natively', () => {
    const newer = cockroach('v25.2.0', ['tsvector', 'vector', 'citext', 'ltree']);
    expect(on(builtIn('tsvector'), 0, newer)).toEqual(['TSVECTOR', 'none']);
    expect(on(citext, 0, newer)).toEqual(['CITEXT', 'none']);
    const vector = userType('base', 'public', 'vector', { extension: 'vector', display: 'public.vector(3)' });
    expect(on(vector, 0, newer)).toEqual(['VECTOR(3)', 'none']);
  });

  it('takes a composite type only when it was created there', () => {
    const pair = userType('composite', 'app', 'pair');
    const mapped = mapType({ type: pair, dimensions: 0 }, cockroach(), new Set([typeKey(pair)]));
    expect(mapped).toEqual({ sqlType: '"app"."pair"', convert: 'none', note: null });
  });
});

describe('types on PostgreSQL', () => {
  const on = (type: TypeModel, capabilities = postgres({ hstore: 'ext', citext: null })): [string, string] => {
    const created = new Set([typeKey(email)]);
    const { sqlType, convert } = mapType({ type, dimensions: 0 }, capabilities, created);
    return [sqlType, convert];
  };

  it.each([
    builtIn('json'),
    builtIn('money'),
    builtIn('xml'),
    builtIn('int4range'),
    builtIn('numeric', 'numeric(3,-2)'),
    arrayOf(builtIn('jsonb')),
    email,
    hstore,
    citext,
    arrayOf(citext),
  ])('keeps $display', (type) => {
    expect(on(type)).toEqual([type.display, 'none']);
  });

  it('finds an extension in another schema', () => {
    const elsewhere = postgres({ citext: 'Other', hstore: 'x' });
    expect(on(citext, elsewhere)).toEqual(['"Other"."citext"', 'none']);
    expect(on(arrayOf(citext), elsewhere)).toEqual(['"Other"."citext"[]', 'none']);
  });

  it('falls back where the extension is not to be had', () => {
    const bare = postgres();
    expect(on(hstore, bare)).toEqual(['jsonb', 'hstore']);
    expect(on(citext, bare)).toEqual(['text', 'text']);
    expect(on(arrayOf(hstore), bare)).toEqual(['text', 'text']);
  });

  it('falls back for what it cannot rebuild', () => {
    expect(on(userType('composite', 'app', 'unknown'))).toEqual(['text', 'text']);
    expect(on(userType('base', 'app', 'in_c'))).toEqual(['text', 'text']);
    expect(on(userType('pseudo', 'app', 'row_of_table'))).toEqual(['text', 'text']);
    expect(on(userType('domain', 'app', 'left_out', { base: builtIn('int4') }))).toEqual(['integer', 'none']);
    expect(on(builtIn('newer_type'))).toEqual(['text', 'text']);
  });
});

describe('capabilities', () => {
  it('reads versions', () => {
    expect(versionNumbers('PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64')).toEqual({ major: 15, minor: 18 });
    expect(versionNumbers('CockroachDB CCL v22.1.0-alpha.1-local (x86_64, built 2026/11/23, go1.19.8)')).toEqual({
      major: 22,
      minor: 1,
    });
    expect(versionNumbers('PostgreSQL 18beta1')).toEqual({ major: 18, minor: 0 });
  });

  it('goes by version where a probe cannot tell', () => {
    expect(cockroach('v22.1.0').trigramIndexes).toBe(false);
    expect(cockroach('v22.2.1').trigramIndexes).toBe(true);
    expect(cockroach('v26.1.0').trigramIndexes).toBe(true);
    expect(postgres({}, 14)).toMatchObject({ nullsNotDistinct: false, virtualColumns: false });
    expect(postgres({}, 18)).toMatchObject({ nullsNotDistinct: true, virtualColumns: true, truncateIsMvccSafe: false });
    expect(capabilitiesOf({ version: 'CockroachDB CCL v25.1.0', types: [], functions: [] }).dialect).toBe('cockroach');
  });
});
