/** Neon's answer to a connection when the month's compute time is used up: an answer, not an outage. */
const EXCEEDED = /exceeded the compute time quota/i;

export function isQuotaExceeded(error: unknown): boolean {
  for (let link = error, depth = 0; typeof link === 'object' && link !== null && depth < 5; depth++) {
    const { cause, errors, message } = link as { cause?: unknown; errors?: unknown; message?: unknown };
    if (typeof message === 'string' && EXCEEDED.test(message)) return true;
    if (Array.isArray(errors) && errors.some(isQuotaExceeded)) return true;
    link = cause;
  }
  return false;
}
