/**
 * What Node is started with wherever the program runs for long. Rows of some thousand changes are alive at a time, and
 * with V8's 16 MiB for young objects most of them are copied twice before they die: that was a third of the streamer's
 * CPU (docs/decisions/0011-performance.md). Cannot be set by a program that runs already.
 */
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=32'];
