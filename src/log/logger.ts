import { format } from 'node:util';
import { type DestinationStream, destination as fileDestination, type Logger as PinoLogger, pino } from 'pino';
import pretty from 'pino-pretty';
import { type Redactor, redactDeep } from '../core/redact.js';

/**
 * One JSON object a line (SPEC section 14), readable lines on a terminal. Callers write plain sentences; the prefix is
 * put before every message here, and passwords and tokens are taken out of messages and fields here.
 *
 *     logger.info({ records: 150 }, 'Sync completed: 150 records updated');
 *     logger.error({ err }, 'Health check failed for primary');
 */
export type Logger = PinoLogger;

export const LOG_PREFIX = '[DB-Redundancy] ';

export interface LoggerOptions {
  /** pino's names: fatal, error, warn, info, debug, trace, silent. */
  readonly level: string;
  /** Applied to messages and to every field, errors included. */
  readonly redact: Redactor;
  /** Standard output by default. */
  readonly destination?: NodeJS.WritableStream & { readonly isTTY?: boolean };
  /** Readable lines instead of JSON; by default when the destination is a terminal. */
  readonly pretty?: boolean;
}

export function createLogger(options: LoggerOptions): Logger {
  const { level, redact, destination = process.stdout } = options;
  const readable = options.pretty ?? destination.isTTY === true;
  const fields = (object: Record<string, unknown>) => redactDeep(object, redact) as Record<string, unknown>;
  const logger = pino(
    {
      level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }), log: fields },
      // The formatter above has made a plain object of an error already.
      serializers: { err: (value: unknown) => value },
      hooks: {
        logMethod(args, method) {
          const { object, message } = split(args);
          method.call(this, object, LOG_PREFIX + redact(message));
        },
      },
    },
    readable ? prettyStream(destination) : jsonStream(destination, options.destination === undefined),
  );
  // pino has no hook for the fields of a child; children of children inherit this.
  const { child } = logger;
  logger.child = function (this: Logger, bindings: Record<string, unknown>, more?: object) {
    return child.call(this, fields(bindings), more);
  } as typeof child;
  return logger;
}

/** pino's calling forms: (message, ...values), (object, message, ...values), (error), ({ err }). */
function split(args: readonly unknown[]): { object: object; message: string } {
  const [first, ...rest] = args;
  if (typeof first !== 'object' || first === null) return { object: {}, message: text(args) };
  const object = first instanceof Error ? { err: first } : first;
  if (rest.length > 0) return { object, message: text(rest) };
  const error = 'err' in object ? object.err : undefined;
  return { object, message: error instanceof Error ? error.message : '' };
}

/** A message without values is taken as it is: a % in it is a per cent sign. */
function text(args: readonly unknown[]): string {
  return args.length === 1 ? String(args[0]) : format(...args);
}

/** Standard output is written synchronously, so that the last lines before an exit are not lost. */
function jsonStream(destination: NodeJS.WritableStream, standard: boolean): DestinationStream {
  return standard ? fileDestination({ fd: 1, sync: true }) : destination;
}

/** In this thread, not in pino's worker: nothing is lost at an exit, and no file is looked up at run time. */
function prettyStream(destination: NodeJS.WritableStream): DestinationStream {
  return pretty({
    destination,
    sync: true,
    colorize: 'isTTY' in destination && destination.isTTY === true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname',
    singleLine: true,
  });
}
