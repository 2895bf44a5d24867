/**
 * The CockroachDB that an export is written for when none is at hand: the oldest that is supported. A newer one takes
 * the same file; it may then hold as text what it has a type for by now.
 */
import { capabilitiesOf, type TargetCapabilities } from '../schema/capabilities.js';

const VERSION = 'CockroachDB v22.1.0';

const TYPES = [
  ...['int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'bool', 'text', 'varchar', 'bpchar', 'bytea', 'uuid'],
  ...['date', 'time', 'timetz', 'timestamp', 'timestamptz', 'interval', 'inet', 'bit', 'varbit', 'jsonb'],
];

/** Immutable or stable, and of one meaning in both databases. */
export const SHARED_FUNCTIONS: ReadonlySet<string> = new Set(
  (
    'lower upper length char_length character_length octet_length btrim ltrim rtrim replace substr substring left right ' +
    'md5 abs ceil ceiling floor strpos jsonb_typeof array_length cardinality ' +
    'now clock_timestamp statement_timestamp transaction_timestamp gen_random_uuid random timezone'
  ).split(' '),
);

export function cockroachFloor(): TargetCapabilities {
  return capabilitiesOf({
    version: VERSION,
    types: TYPES,
    arrayElements: TYPES.filter((type) => type !== 'jsonb'),
    // Of extensions on PostgreSQL, but built in there.
    functions: [...SHARED_FUNCTIONS, 'uuid_generate_v4'],
  });
}
