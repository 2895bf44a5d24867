import { check, type PreflightResult, type Problem } from './result.js';

/** What `SELECT version()` says, in numbers. */
export interface ServerVersion {
  readonly dialect: 'postgres' | 'cockroach';
  readonly major: number;
  readonly minor: number;
  /** For people: `PostgreSQL 18.4`. */
  readonly label: string;
}

const POSTGRES_MAJORS = { oldest: 14, newest: 18 } as const;
const OLDEST_COCKROACH = { major: 22, minor: 1 } as const;

/** Null when the text is neither PostgreSQL's nor CockroachDB's. */
export function parseServerVersion(text: string): ServerVersion | null {
  const cockroach = /^CockroachDB\b.*?\bv(\d+)\.(\d+)/.exec(text);
  if (cockroach) return version('cockroach', 'CockroachDB', cockroach);
  // `PostgreSQL 18.4 (Debian ...)`, `PostgreSQL 17beta1 on ...`: the second number may be missing.
  const postgres = /^PostgreSQL (\d+)(?:\.(\d+))?/.exec(text);
  return postgres ? version('postgres', 'PostgreSQL', postgres) : null;
}

function version(dialect: ServerVersion['dialect'], name: string, match: RegExpExecArray): ServerVersion {
  const [major, minor] = [Number(match[1]), Number(match[2] ?? 0)];
  return { dialect, major, minor, label: `${name} ${major}.${minor}` };
}

export function checkVersion(side: 'primary' | 'secondary', text: string): PreflightResult {
  const parsed = parseServerVersion(text);
  return check(`${side}-version`, 'Server and version are supported', {
    detail: parsed?.label ?? 'neither PostgreSQL nor CockroachDB',
    problem: versionProblem(side, parsed),
  });
}

function versionProblem(side: 'primary' | 'secondary', found: ServerVersion | null): Problem | null {
  const range = `PostgreSQL ${POSTGRES_MAJORS.oldest} to ${POSTGRES_MAJORS.newest}`;
  const wanted =
    side === 'primary'
      ? range
      : `CockroachDB ${OLDEST_COCKROACH.major}.${OLDEST_COCKROACH.minor} or newer, or ${range}`;
  const remedy = `Use ${wanted} as the ${side}.`;
  if (!found || (side === 'primary' && found.dialect === 'cockroach')) return { remedy };
  if (found.dialect === 'cockroach') {
    const { major, minor } = OLDEST_COCKROACH;
    return found.major > major || (found.major === major && found.minor >= minor) ? null : { remedy };
  }
  if (found.major < POSTGRES_MAJORS.oldest) return { remedy };
  if (found.major <= POSTGRES_MAJORS.newest) return null;
  return { severity: 'warning', detail: `${found.label} is newer than what was tested (${range})`, remedy };
}
