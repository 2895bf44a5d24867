/** Requests to the server that the page came from. The token stays in this page's memory, and goes with the page. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
  }
}

let token = '';

export const knownToken = () => token;

export function rememberToken(given: string): void {
  token = given.trim();
}

/** @throws ApiError with a sentence for people */
export async function read<T>(path: string): Promise<T> {
  const { body, status } = await ask(path, {});
  if (status === 200) return body as T;
  throw new ApiError(status, sentence(body) ?? `The server answers ${status}.`);
}

/** A refusal by a guard is an answer too: it comes back with its guards. @throws ApiError with a sentence for people */
export async function order<T>(path: string, order: object): Promise<T> {
  const { body, status } = await ask(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(order),
  });
  const problem = sentence(body);
  if (problem === null && [200, 202, 409].includes(status)) return body as T;
  throw new ApiError(status, problem ?? `The server answers ${status}.`);
}

async function ask(path: string, init: RequestInit): Promise<{ status: number; body: unknown }> {
  const headers = new Headers(init.headers);
  if (token !== '') headers.set('Authorization', `Bearer ${token}`);
  try {
    const response = await fetch(path, { ...init, headers, cache: 'no-store' });
    return { status: response.status, body: await response.json() };
  } catch {
    throw new ApiError(0, 'The server does not answer.');
  }
}

function sentence(body: unknown): string | null {
  const error = (body as { error?: { message?: unknown } } | null)?.error;
  return typeof error?.message === 'string' ? error.message : null;
}
