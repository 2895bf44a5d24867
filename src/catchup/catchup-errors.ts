/** Ends of a catch-up that trying again does not mend. */
import { ConfigurationError, StreamHaltError } from '../core/errors.js';

/** The secondary no longer keeps the history behind the stored position: changes in between cannot be read any more. */
export class CursorTooOldError extends StreamHaltError {
  constructor(position: string, cause?: unknown) {
    super(`The secondary no longer keeps its changes since position ${position}.`, {
      code: 'cursor-too-old',
      remedy:
        'Take a new position, then compare all tables in the reverse direction (the controller does both; by hand: db:verify).',
      cause,
    });
  }
}

/** A followed table is not there under its name, or cannot be followed in its new shape. */
export class SchemaChangedError extends StreamHaltError {
  constructor(message: string, cause?: unknown) {
    super(message, {
      code: 'catch-up-schema-changed',
      remedy:
        'Bring the table back to the name and shape that it has on the primary, or take it out of DB_SYNC_TABLES; then run db:failback again.',
      cause,
    });
  }
}

/** Changefeeds are switched off on the secondary. */
export class RangefeedsOffError extends ConfigurationError {
  constructor(cause?: unknown) {
    super('The secondary refuses changefeeds because rangefeeds are off.', {
      code: 'rangefeeds-off',
      remedy: 'Run on the secondary: SET CLUSTER SETTING kv.rangefeed.enabled = true',
      cause,
    });
  }
}
