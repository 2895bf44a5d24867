/** Server-sent events of a running process, as they come. */
export interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Ends when the server ends the stream. @throws when nobody answers, or the answer is no event stream, or on abort */
export async function* serverEvents(url: URL, signal: AbortSignal): AsyncGenerator<ServerEvent> {
  const response = await fetch(url, { signal, headers: { Accept: 'text/event-stream' } });
  if (!response.ok || !response.body || !response.headers.get('content-type')?.startsWith('text/event-stream'))
    throw new Error(`${url.origin} answers ${response.status} without events`);
  let waiting = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    waiting += chunk;
    for (let end = waiting.indexOf('\n\n'); end >= 0; end = waiting.indexOf('\n\n')) {
      const event = parse(waiting.slice(0, end));
      waiting = waiting.slice(end + 2);
      if (event !== null) yield event;
    }
  }
}

function parse(block: string): ServerEvent | null {
  const field = (name: string) =>
    block
      .split('\n')
      .filter((line) => line.startsWith(`${name}: `))
      .map((line) => line.slice(name.length + 2))
      .join('\n');
  const name = field('event');
  return name === '' ? null : { name, data: field('data') };
}
