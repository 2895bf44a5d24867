/** One endpoint of a Neon project, as Neon's API shows it. Asking does not wake the compute. */
import { RedundancyError } from '../core/errors.js';
import type { Secret } from '../core/secret.js';

export interface NeonEndpointOptions {
  /** https://console.neon.tech/api/v2 */
  readonly apiUrl: string;
  readonly apiKey: Secret;
  readonly projectId: string;
  readonly endpointId: string;
  readonly timeoutMs?: number;
}

export interface NeonEndpoint {
  readonly state: 'init' | 'active' | 'idle';
  /** Nobody can connect to it, by somebody's decision. */
  readonly disabled: boolean;
  /** Idle time after which it sleeps; null: the default of five minutes. Never: Infinity. */
  readonly suspendsAfterMs: number | null;
}

export type NeonProblem = 'unauthorized' | 'not-found' | 'rate-limited' | 'unavailable' | 'timeout' | 'malformed';

const REMEDIES: Readonly<Record<NeonProblem, string>> = {
  unauthorized: 'Look at NEON_API_KEY: it must be a valid key that may read the project.',
  'not-found': 'Look at NEON_PROJECT_ID and NEON_ENDPOINT_ID.',
  'rate-limited': 'Nothing to do: it is asked again later.',
  unavailable: 'Nothing to do: it is asked again later; neonstatus.com says more.',
  timeout: 'Nothing to do: it is asked again later.',
  malformed: 'Look at NEON_API_URL: what answers there is not the API that is known here.',
};

/** Neon's API could not be asked. It says nothing about the primary. */
export class NeonApiError extends RedundancyError {
  readonly problem: NeonProblem;

  constructor(problem: NeonProblem, message: string, cause?: unknown) {
    super(message, {
      code: `neon-api-${problem}`,
      remedy: REMEDIES[problem],
      ...(cause === undefined ? {} : { cause }),
    });
    this.problem = problem;
  }
}

const TIMEOUT_MS = 10_000;
const STATES: ReadonlySet<string> = new Set(['init', 'active', 'idle']);

/** `GET /projects/{project_id}/endpoints/{endpoint_id}`. @throws NeonApiError */
export async function readNeonEndpoint(options: NeonEndpointOptions, signal: AbortSignal): Promise<NeonEndpoint> {
  const { apiKey, apiUrl, endpointId, projectId, timeoutMs = TIMEOUT_MS } = options;
  const path = `projects/${encodeURIComponent(projectId)}/endpoints/${encodeURIComponent(endpointId)}`;
  const late = AbortSignal.timeout(timeoutMs);
  let status: number;
  let text: string;
  try {
    const response = await fetch(new URL(path, apiUrl.endsWith('/') ? apiUrl : `${apiUrl}/`), {
      headers: { Accept: 'application/json', Authorization: `Bearer ${apiKey.reveal()}` },
      redirect: 'error',
      signal: AbortSignal.any([signal, late]),
    });
    status = response.status;
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    if (late.aborted) throw new NeonApiError('timeout', `Neon's API has not answered within ${timeoutMs} ms.`, error);
    throw new NeonApiError('unavailable', "Neon's API cannot be reached.", error);
  }
  if (status !== 200) throw new NeonApiError(problemOf(status), `Neon's API answers ${status}.`);
  return parse(text);
}

function problemOf(status: number): NeonProblem {
  if (status === 401 || status === 403) return 'unauthorized';
  if (status === 404) return 'not-found';
  if (status === 423 || status === 429) return 'rate-limited';
  return status >= 500 ? 'unavailable' : 'malformed';
}

function parse(text: string): NeonEndpoint {
  let endpoint: Record<string, unknown> | undefined;
  try {
    endpoint = (JSON.parse(text) as { endpoint?: Record<string, unknown> }).endpoint;
  } catch {
    endpoint = undefined;
  }
  const state = endpoint?.current_state;
  if (typeof state !== 'string' || !STATES.has(state))
    throw new NeonApiError('malformed', "Neon's API answers without the endpoint's current_state.");
  const seconds = endpoint?.suspend_timeout_seconds;
  return {
    state: state as NeonEndpoint['state'],
    disabled: endpoint?.disabled === true,
    suspendsAfterMs:
      typeof seconds !== 'number' || seconds === 0 ? null : seconds < 0 ? Number.POSITIVE_INFINITY : seconds * 1000,
  };
}
