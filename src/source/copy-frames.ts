/**
 * Takes the data of a COPY out of a connection's bytes where they lie, and leaves every other message to pg's parser, which
 * makes two objects and an event of each ("PostgreSQL manual, Message Formats": CopyData is 'd', a length, and the rest).
 * Must begin between two messages. Touches pg's connection: test/integration/pg-contract.test.ts.
 */

/** Data lies in the buffer from `start` to `end`, and only during the call. */
export type CopyDataHandler = (buffer: Buffer, start: number, end: number) => void;

interface DataStream {
  listeners(event: 'data'): unknown[];
  removeAllListeners(event: 'data'): unknown;
  on(event: 'data', listener: (chunk: Buffer) => void): unknown;
  destroy(error: Error): unknown;
}

const COPY_DATA = 0x64;
/** Type and length. The length counts itself, and not the type. */
const HEADER_BYTES = 5;
const LENGTH_BYTES = 4;
const NOTHING = Buffer.alloc(0);

export function takeCopyData(stream: DataStream, handler: CopyDataHandler): void {
  const others = stream.listeners('data') as ((chunk: Buffer) => void)[];
  const frames = new CopyFrames(handler, (bytes) => {
    for (const listener of others) listener.call(stream, bytes);
  });
  stream.removeAllListeners('data');
  stream.on('data', (chunk) => {
    try {
      frames.push(chunk);
    } catch (error) {
      stream.destroy(error as Error);
    }
  });
}

export class CopyFrames {
  readonly #onCopyData: CopyDataHandler;
  readonly #onOther: (bytes: Buffer) => void;
  /** A message that has not come as a whole: its first bytes, and how many there are. */
  #begun: Buffer = NOTHING;
  #length = 0;

  constructor(onCopyData: CopyDataHandler, onOther: (bytes: Buffer) => void) {
    this.#onCopyData = onCopyData;
    this.#onOther = onOther;
  }

  push(chunk: Buffer): void {
    let at = this.#length > 0 ? this.#finish(chunk) : 0;
    while (at + HEADER_BYTES <= chunk.length) {
      const end = at + 1 + chunk.readUInt32BE(at + 1);
      if (end > chunk.length) break;
      this.#message(chunk, at, end);
      at = end;
    }
    if (at < chunk.length) this.#begin(chunk, at);
  }

  #begin(chunk: Buffer, at: number): void {
    const here = chunk.length - at;
    const size = here >= HEADER_BYTES ? 1 + chunk.readUInt32BE(at + 1) : HEADER_BYTES;
    this.#begun = Buffer.allocUnsafe(size);
    this.#length = chunk.copy(this.#begun, 0, at);
  }

  /** @returns how much of the chunk belongs to the message that has begun */
  #finish(chunk: Buffer): number {
    let at = 0;
    if (this.#length < HEADER_BYTES) {
      at = this.#fill(chunk, 0, HEADER_BYTES);
      if (this.#length < HEADER_BYTES) return at;
      const whole = Buffer.allocUnsafe(1 + this.#begun.readUInt32BE(1));
      this.#begun.copy(whole, 0, 0, HEADER_BYTES);
      this.#begun = whole;
    }
    at += this.#fill(chunk, at, this.#begun.length);
    if (this.#length < this.#begun.length) return at;
    const message = this.#begun;
    this.#begun = NOTHING;
    this.#length = 0;
    this.#message(message, 0, message.length);
    return at;
  }

  #fill(chunk: Buffer, at: number, upTo: number): number {
    const copied = chunk.copy(this.#begun, this.#length, at, at + upTo - this.#length);
    this.#length += copied;
    return copied;
  }

  #message(buffer: Buffer, start: number, end: number): void {
    if (buffer[start] === COPY_DATA) this.#onCopyData(buffer, start + 1 + LENGTH_BYTES, end);
    else this.#onOther(buffer.subarray(start, end));
  }
}
