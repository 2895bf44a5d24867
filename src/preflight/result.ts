/** What one check found out. An error keeps the streamer from starting; a warning is shown and goes by. */
export interface PreflightResult {
  /** Stable, lower-case with hyphens, begins with the side: `primary-wal-level`. */
  readonly id: string;
  /** What is checked, in a few words. */
  readonly title: string;
  readonly ok: boolean;
  /** What was found, without secrets. */
  readonly detail: string;
  /** The statement or the step that mends it; several lines where several tables need one each. */
  readonly remedy?: string;
  readonly severity: 'error' | 'warning';
  /** True when waiting may be enough: the server could not be reached, was starting, or takes no writes for now. */
  readonly transient?: boolean;
}

export type Severity = PreflightResult['severity'];

/** Passes when there is no problem: the common shape of a check. */
export function check(
  id: string,
  title: string,
  found: { readonly detail: string; readonly problem?: Problem | null },
): PreflightResult {
  const { problem, detail } = found;
  if (!problem) return { id, title, ok: true, detail, severity: 'error' };
  return {
    id,
    title,
    ok: false,
    detail: problem.detail ?? detail,
    severity: problem.severity ?? 'error',
    ...(problem.transient ? { transient: true } : {}),
    ...(problem.remedy === undefined ? {} : { remedy: problem.remedy }),
  };
}

export interface Problem {
  /** Instead of the detail of the passed check. */
  readonly detail?: string;
  readonly remedy?: string;
  /** `error` by default. */
  readonly severity?: Severity;
  /** A process that runs for long waits for its end. */
  readonly transient?: boolean;
}
