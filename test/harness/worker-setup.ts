/**
 * A worker whose main process was killed would go on with its test, and keep the servers of that test alive. It ends
 * instead; hooks and watchdogs clean up after it.
 */
process.once('disconnect', () => process.exit(1));
