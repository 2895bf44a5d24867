/** The long-running process of this configuration, where one answers: it takes orders at once, instead of within a minute. */

import type { Config } from '../config/config.js';
import { RedundancyError } from '../core/errors.js';

const PATIENCE_MS = 15_000;

export function baseUrl({ controllerUrl, http }: Config): string {
  return controllerUrl ?? `http://${http.host === '0.0.0.0' ? '127.0.0.1' : http.host}:${http.port}`;
}

/**
 * @returns the answer; null where nobody answers, or orders over HTTP are not possible: then the order is left on the
 *   secondary. @throws RedundancyError when the process refuses
 */
export async function postControl(
  config: Config,
  path: string,
  body: object,
): Promise<Readonly<Record<string, unknown>> | null> {
  const token = config.http.controlToken;
  if (token === null || (config.controllerUrl === null && config.http.port === 0)) return null;
  const response = await fetch(new URL(path, baseUrl(config)), {
    method: 'POST',
    headers: { Authorization: `Bearer ${token.reveal()}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(PATIENCE_MS),
  }).catch(() => null);
  if (!response) return null;
  const answer = (await response.json().catch(() => ({}))) as {
    error?: { code?: string; message?: string };
  } & Record<string, unknown>;
  if (response.ok) return answer;
  // A guard's answer holds whoever asks; anything else may be a matter of that process.
  if (response.status === 409)
    throw new RedundancyError(answer.error?.message ?? 'The running process refuses.', {
      code: answer.error?.code ?? 'refused',
      exitCode: 3,
    });
  return null;
}
