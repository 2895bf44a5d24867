/** The real streamer and its HTTP surface, in this process, between the demo's two servers. */
import { Writable } from 'node:stream';
import { DEFAULT_TABLES } from '../config/tables.js';
import { systemClock } from '../core/clock.js';
import { createRedactor } from '../core/redact.js';
import { createMetrics } from '../http/metrics.js';
import { type HttpServer, startHttpServer } from '../http/server.js';
import { createLogger } from '../log/logger.js';
import { SchemaBridge } from '../streamer/schema-bridge.js';
import { Streamer } from '../streamer/streamer.js';

export interface DemoStream {
  readonly streamer: Streamer;
  readonly http: HttpServer;
  /** `http://127.0.0.1:PORT` */
  readonly origin: string;
}

const STREAM = 'db_redundancy';

/** @param message gets the log's warnings and errors, line by line */
export async function createDemoStream(
  primary: string,
  secondary: string,
  message: (line: string) => void,
): Promise<DemoStream> {
  const logger = createLogger({
    level: 'warn',
    redact: createRedactor([]),
    destination: lineSink(message),
    pretty: true,
  });
  const streamer = new Streamer({
    primary: { connectionString: primary },
    secondary: { connectionString: secondary },
    tables: DEFAULT_TABLES,
    settings: {
      stream: STREAM,
      slot: STREAM,
      publication: STREAM,
      maxRows: 5000,
      onError: 'pause-table',
      largeTransactions: 'atomic',
      loadConcurrency: 3,
    },
    clock: systemClock,
    log: logger,
    schema: (parts) => new SchemaBridge({ ...parts, stream: STREAM, clock: systemClock, log: logger }),
  });
  const host = '127.0.0.1';
  const http = await startHttpServer({ host, port: 0, status: streamer, metrics: createMetrics(streamer), logger });
  return { streamer, http, origin: `http://${host}:${http.port}` };
}

function lineSink(message: (line: string) => void): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString('utf8').split('\n')) if (line.trim() !== '') message(line);
      done();
    },
  });
}
