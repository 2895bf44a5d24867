/** Numbers and times for people. */
const whole = new Intl.NumberFormat('en');
const clockTime = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const dateTime = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

export const count = (value: number) => whole.format(value);

export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

function seconds(value: number): string {
  if (value < 60) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;
  return `${Math.floor(value / 3600)} h ${Math.floor((value % 3600) / 60)} min`;
}

/** Of a lag: what is below a second matters, and 0 is a word of its own. */
export const lagTime = (value: number) =>
  value === 0 ? '0 s' : value < 1 ? `${Math.max(1, Math.round(value * 1000))} ms` : seconds(value);

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  let scaled = value;
  while (scaled >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${unit === 0 || scaled >= 100 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`;
}

export function milliseconds(value: number): string {
  return value < 1000 ? `${Math.round(value)} ms` : seconds(value / 1000);
}

export function ago(ms: number): string {
  const past = Math.max(0, ms) / 1000;
  if (past < 1.5) return 'just now';
  if (past < 60) return `${Math.floor(past)} s ago`;
  if (past < 3600) return `${Math.floor(past / 60)} min ago`;
  if (past < 48 * 3600) return `${Math.floor(past / 3600)} h ago`;
  return `${Math.floor(past / 86_400)} days ago`;
}

export const nameOf = ({ name, schema }: { readonly schema: string; readonly name: string }) => `${schema}.${name}`;

export const exact = (iso: string) => dateTime.format(new Date(iso));
export const clock = (ms: number) => clockTime.format(new Date(ms));
