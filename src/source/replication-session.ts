/**
 * One replication connection, from START_REPLICATION to its end. The only importer of pg-logical-replication, of which
 * it uses the connection and the handshake: decoding, back-pressure and acknowledgement are ours (FACTS: its own
 * acknowledge LSN + 1, and the last received LSN on a timer). Touches private fields of pg, which a contract test pins.
 */

import type { Socket } from 'node:net';
import type { ClientConfig } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { DecodeError } from '../core/errors.js';
import { quoteIdent, quoteLiteral } from '../core/ident.js';
import { formatLsn, type Lsn, maxLsn } from '../core/lsn.js';
import { binaryTypesOf } from './binary-columns.js';
import { BinaryFormError } from './binary-tuples.js';
import { takeCopyData } from './copy-frames.js';
import { PgOutputDecoder, type PgOutputMessage, postgresTimeToMs } from './pgoutput.js';
import { TEXT_FORM_SQL } from './session-settings.js';
import { ShutdownWatch } from './shutdown-watch.js';
import { standbyStatus } from './standby-status.js';

/** What a session hands to its owner, synchronously and in WAL order. A throw from either ends the session with that error. */
export interface SessionHandler {
  /** `bytes`: size of the message on the wire. */
  message(message: PgOutputMessage, bytes: number): void;
  /** `lsn`: end of WAL that the server has sent; `serverNowMs`: its clock. A server that asks may be waiting to shut down. */
  keepalive(lsn: Lsn, serverNowMs: number, replyRequested: boolean): void;
}

export interface SessionOptions {
  readonly connection: ClientConfig;
  readonly slot: string;
  readonly publication: string;
  readonly startLsn: Lsn;
  readonly statusIntervalMs: number;
  /** A primary that is silent for so long, although asked, counts as lost; milliseconds, 30,000 by default. */
  readonly silenceMs?: number;
  /** A primary that has not begun to stream so long after it was asked is given up; milliseconds, 30,000 by default. */
  readonly startMs?: number;
  /** Gives the start up at once. */
  readonly signal?: AbortSignal;
  readonly handler: SessionHandler;
  /** Inserts may come as RawInsert: for who hands most of them on as they are. */
  readonly rawInserts?: boolean;
  /** Values may come in binary, where all of the publication's types are known: for a secondary that takes them so. */
  readonly binary?: boolean;
  /** Not where one is a number of four bytes. */
  readonly realsAsText?: boolean;
  /**
   * True while nobody can use what comes: small pieces of it are left in the socket for a millisecond then, since reading
   * them one by one costs both ends more than all that is done with them. `readOn` ends that.
   */
  readonly gathers?: () => boolean;
  /** The server's major version times 10,000, e.g. 180004. */
  readonly serverVersion: number;
}

export interface ReplicationSession {
  /** Settles when the connection has ended: resolved after close(), rejected with the reason otherwise. */
  readonly ended: Promise<void>;
  /** Values come in binary. */
  readonly binary: boolean;
  pause(): void;
  resume(): void;
  /** Reads at once what was left to be gathered. */
  readOn(): void;
  /** Everything before `lsn` is durable on the secondary. Sent at once when it moves. */
  confirm(lsn: Lsn): void;
  close(): Promise<void>;
}

/** Private fields of pg 8.23 that the session relies on: test/integration/pg-contract.test.ts. */
interface WireConnection {
  readonly stream: Socket;
  sendCopyFromChunk(chunk: Buffer): void;
  removeAllListeners(event: 'copyData'): void;
}

/** An asked primary answers within a round trip; half a minute of silence is a dead connection. */
const SILENCE_MS = 30_000;
const CONNECT_MS = 10_000;
const START_MS = 30_000;
/** A network that has forgotten the connection is noticed by the system as well, before the walsender's time is up. */
const KEEPALIVE_DELAY_MS = 10_000;
/** What is larger is worth being read by itself. */
const GATHERED_BYTES = 16 << 10;
const GATHER_MS = 1;
const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;
const XLOG_HEADER_BYTES = 25;
const KEEPALIVE_BYTES = 18;

/** Starts streaming. Rejects with the server's error (55006 busy, 42704 missing, 55000 invalidated slot). */
export async function openReplicationSession(options: SessionOptions): Promise<ReplicationSession> {
  const { handler } = options;
  const service = new LogicalReplicationService(
    {
      connectionTimeoutMillis: CONNECT_MS,
      ...options.connection,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEPALIVE_DELAY_MS,
    },
    { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
  );
  const rawInserts = options.rawInserts === true;
  let decoder = new PgOutputDecoder({ rawInserts });
  let binary = false;
  let wire: WireConnection | undefined;
  let received = options.startLsn;
  let durable = options.startLsn;
  let closing = false;
  let failure: unknown;
  let paused = false;
  let heardAt = performance.now();
  /** It was paused at the last tick, and not resumed since. */
  let stood = false;

  let gathering: NodeJS.Timeout | null = null;
  /** What was gathered comes in the pieces in which it was read, all of it before anything is left again. */
  let emptying = false;
  const gather = (): void => {
    wire?.stream.pause();
    gathering = setTimeout(readOn, GATHER_MS);
  };
  const readOn = (): void => {
    if (gathering === null) return;
    clearTimeout(gathering);
    gathering = null;
    if (paused) return;
    emptying = true;
    setImmediate(() => {
      emptying = false;
    });
    wire?.stream.resume();
  };

  const fail = (error: unknown): void => {
    failure ??= error;
    wire?.stream.destroy();
  };
  const shutdown = new ShutdownWatch(options.connection, fail);
  const sendStatus = (replyRequested = false): void => {
    if (wire?.stream.writable) wire.sendCopyFromChunk(standbyStatus(received, durable, Date.now(), replyRequested));
  };
  // A half-open connection looks like an idle primary: ask, and give up when no answer comes.
  const tick = (): void => {
    // Its questions are not read either.
    if (paused && stood) shutdown.suspect();
    stood = paused;
    const silentMs = paused ? 0 : performance.now() - heardAt;
    if (silentMs > (options.silenceMs ?? SILENCE_MS))
      fail(new Error(`Connection terminated: the primary has been silent for ${Math.round(silentMs / 1000)} s`));
    else sendStatus(silentMs > options.statusIntervalMs / 2);
  };
  const onCopyData = (buffer: Buffer, start: number, end: number): void => {
    if (failure !== undefined || closing) return;
    try {
      const kind = buffer[start];
      const bytes = end - start;
      if (kind === XLOG_DATA && bytes > XLOG_HEADER_BYTES) {
        received = maxLsn(received, buffer.readBigUInt64BE(start + 1));
        handler.message(decoder.decode(buffer, start + XLOG_HEADER_BYTES, end), bytes);
      } else if (kind === KEEPALIVE && bytes >= KEEPALIVE_BYTES) {
        const lsn = buffer.readBigUInt64BE(start + 1);
        received = maxLsn(received, lsn);
        const asked = buffer[start + 17] === 1;
        handler.keepalive(lsn, postgresTimeToMs(buffer.readBigInt64BE(start + 9)), asked);
        if (asked) sendStatus();
        if (asked && durable < received) shutdown.suspect();
      } else {
        throw new DecodeError(`Unknown replication packet 0x${(kind ?? 0).toString(16)} of ${bytes} bytes.`);
      }
    } catch (error) {
      fail(
        error instanceof DecodeError && !(error instanceof BinaryFormError)
          ? new DecodeError(`${error.message} At LSN ${formatLsn(received)}.`, error, error.remedy)
          : error,
      );
    }
  };

  const plugin = {
    options: {},
    name: 'pgoutput',
    parse: () => undefined,
    async start(client: { query(sql: string): Promise<never>; connection: WireConnection }, slot: string, lsn: string) {
      wire = client.connection;
      if (failure !== undefined) wire.stream.destroy();
      await client.query(TEXT_FORM_SQL);
      wire.removeAllListeners('copyData');
      takeCopyData(wire.stream, onCopyData);
      wire.stream.on('data', (chunk: Buffer) => {
        heardAt = performance.now();
        if (chunk.length >= GATHERED_BYTES || paused || emptying || gathering !== null) return;
        if (options.gathers?.()) gather();
      });
      const parameters = [
        `proto_version '1'`,
        `publication_names ${publicationList(options.publication)}`,
        `messages 'true'`,
      ];
      const types = options.binary
        ? await binaryTypesOf((sql) => client.query(sql), options.publication, !options.realsAsText)
        : null;
      if (types) {
        binary = true;
        decoder = new PgOutputDecoder({ rawInserts, binary: types });
        parameters.push(`binary 'true'`);
      }
      return client.query(`START_REPLICATION SLOT ${quoteIdent(slot)} LOGICAL ${lsn} (${parameters.join(', ')})`);
    },
  };

  const startMs = options.startMs ?? START_MS;
  const late = setTimeout(
    () => fail(new Error(`Connection terminated: the primary has not begun to stream within ${startMs / 1000} s`)),
    startMs,
  );
  const onAbort = (): void => fail(options.signal?.reason);
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted) onAbort();
  const started = new Promise<void>((resolve) => service.once('start', () => resolve()));
  service.on('error', fail);
  const subscription = service.subscribe(plugin as never, options.slot, formatLsn(options.startLsn));
  let timer: NodeJS.Timeout | undefined;
  const ended = subscription
    .then(
      () => {
        if (!closing) throw failure ?? new Error('Connection terminated: the server ended the replication stream');
      },
      (error: unknown) => {
        if (!closing) throw failure ?? error;
      },
    )
    .finally(() => {
      clearInterval(timer);
      readOn();
      return service.destroy().catch(() => undefined);
    });
  // The owner awaits `ended` later; until then a failure must not count as unhandled.
  ended.catch(() => undefined);
  try {
    await Promise.race([started, ended]);
  } finally {
    clearTimeout(late);
    options.signal?.removeEventListener('abort', onAbort);
  }
  if (failure !== undefined) throw failure;
  timer = setInterval(tick, options.statusIntervalMs);
  sendStatus();

  return {
    ended,
    binary,
    pause() {
      paused = true;
      wire?.stream.pause();
    },
    resume() {
      paused = false;
      stood = false;
      heardAt = performance.now();
      wire?.stream.resume();
    },
    readOn,
    confirm(lsn) {
      if (lsn <= durable) return;
      durable = lsn;
      sendStatus();
    },
    async close() {
      closing = true;
      clearInterval(timer);
      sendStatus();
      wire?.stream.resume();
      await Promise.race([
        service.destroy().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, 2000).unref()),
      ]);
      wire?.stream.destroy();
      await ended.catch(() => undefined);
    },
  };
}

/** pgoutput parses the option as a list of identifiers: the name is quoted as one, and then as a literal. */
function publicationList(publication: string): string {
  return quoteLiteral(quoteIdent(publication)).trimStart();
}
