/** The part of a logger that the library uses: pino satisfies it. Details first, then one sentence. */
export interface Log {
  debug(details: object, message: string): void;
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}
