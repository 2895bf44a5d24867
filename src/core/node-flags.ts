/**
 * What Node is started with wherever the program runs for long (docs/decisions/0011-performance.md). Cannot be set by a
 * program that runs already; Node 20 to 26 know both.
 *
 * - Rows of some thousand changes are alive at a time, and with V8's 16 MiB for young objects most of them are copied twice
 *   before they die: that was a third of the streamer's CPU.
 * - The bytes of rows live outside of V8's heap. When some more than ten MiB of them have come, a task begins to mark the
 *   whole heap, long before any limit: nine times for half a million rows, which is a tenth of the streamer's CPU. Without the task
 *   it is marked when the limit is reached.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=32', '--no-incremental-marking-task'];
