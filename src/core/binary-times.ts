/**
 * Dates and times in the binary form of their send functions, as the text of their output functions with DateStyle ISO and
 * TimeZone UTC. PostgreSQL, src/backend/utils/adt/datetime.c (EncodeDateTime, EncodeTimeOnly); days to dates by
 * H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
 */

/** From 1970-01-01 to 2000-01-01, from which PostgreSQL counts. */
const EPOCH_DAYS = 10_957;
const SECONDS_A_DAY = 86_400;
const MICROS = 1_000_000;
const MICROS_A_DAY = SECONDS_A_DAY * MICROS;
const TWO_32 = 4_294_967_296;
/** High words of numbers that are exact as a double. */
const EXACT_HIGH = 1 << 20;
const LATEST = 0x7fffffff;
const EARLIEST = -0x80000000;

/** Days since 2000-01-01. */
export function dateText(days: number): string {
  if (days === LATEST) return 'infinity';
  if (days === EARLIEST) return '-infinity';
  const [date, era] = civil(days);
  return date + era;
}

/** Eight bytes: microseconds since 2000-01-01. @param zone what follows the time: `+00`, or nothing */
export function timestampText(bytes: Buffer, at: number, zone: string): string {
  const high = bytes.readInt32BE(at);
  const low = bytes.readUInt32BE(at + 4);
  if (high === LATEST && low === 0xffffffff) return 'infinity';
  if (high === EARLIEST && low === 0) return '-infinity';
  const [days, micros] = high > -EXACT_HIGH && high < EXACT_HIGH ? split(high * TWO_32 + low) : splitLong(bytes, at);
  const [date, era] = civil(days);
  return `${date} ${clockText(micros)}${zone}${era}`;
}

/** Microseconds since midnight, up to 24:00:00. */
export function clockText(micros: number): string {
  const seconds = Math.floor(micros / MICROS);
  const fraction = micros - seconds * MICROS;
  const minutes = Math.floor(seconds / 60);
  const text = `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}:${two(seconds % 60)}`;
  return fraction === 0 ? text : `${text}.${String(fraction).padStart(6, '0').replace(/0+$/, '')}`;
}

/** Seconds west of Greenwich. */
export function zoneText(seconds: number): string {
  const size = Math.abs(seconds);
  const minutes = Math.floor(size / 60);
  const hour = `${seconds <= 0 ? '+' : '-'}${two(Math.floor(minutes / 60))}`;
  if (size % 60 !== 0) return `${hour}:${two(minutes % 60)}:${two(size % 60)}`;
  return minutes % 60 === 0 ? hour : `${hour}:${two(minutes % 60)}`;
}

function split(micros: number): [days: number, micros: number] {
  const days = Math.floor(micros / MICROS_A_DAY);
  return [days, micros - days * MICROS_A_DAY];
}

function splitLong(bytes: Buffer, at: number): [days: number, micros: number] {
  const day = BigInt(MICROS_A_DAY);
  const value = bytes.readBigInt64BE(at);
  const rest = ((value % day) + day) % day;
  return [Number((value - rest) / day), Number(rest)];
}

/** Most dates are of the day that the one before was of. */
let last: { readonly days: number; readonly date: readonly [date: string, era: string] } = {
  days: 0,
  date: ['2000-01-01', ''],
};

function civil(days: number): readonly [date: string, era: string] {
  if (last.days !== days) last = { days, date: computed(days) };
  return last.date;
}

function computed(days: number): [date: string, era: string] {
  const z = days + EPOCH_DAYS + 719_468;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  // There is no year 0: before the year 1 was the year 1 BC.
  const shown = String(year > 0 ? year : 1 - year).padStart(4, '0');
  return [`${shown}-${two(month)}-${two(day)}`, year > 0 ? '' : ' BC'];
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
