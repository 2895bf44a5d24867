/** The process ends itself at a named place, for tests of what a sudden death leaves behind. */
import type { Environment } from '../config/env-file.js';

export type Dying = (name: string) => void;

const never: Dying = () => undefined;
const PLACE = /^(.+?)(?:#(\d+))?$/s;

/**
 * DB_CRASH_AT is the name of a place, or `name#3` for the third time that it is passed; it counts only where NODE_ENV is
 * test. The death is a SIGKILL: without a word, as a power cut would end it.
 */
export function dying(environment: Environment): Dying {
  const wanted = environment.NODE_ENV === 'test' ? environment.DB_CRASH_AT : undefined;
  const [, place, times = '1'] = PLACE.exec(wanted ?? '') ?? [];
  if (place === undefined) return never;
  let left = Number(times);
  return (name) => {
    if (name !== place) return;
    left -= 1;
    if (left === 0) process.kill(process.pid, 'SIGKILL');
  };
}
