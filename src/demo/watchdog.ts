/**
 * Cleans up after a parent that had no chance to: a shell that waits on a pipe held by this process. When the process
 * dies, by SIGKILL too, the pipe ends, and the shell stops the child and removes the folder.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

export interface WatchdogTask {
  /** Process to stop; for a server that restarts, give `pidFile` instead. */
  readonly pid?: number;
  /** File whose first line is the process to stop, read when the parent has died. */
  readonly pidFile?: string;
  /** Sent first; SIGKILL follows when the process is still there after 10 s. */
  readonly signal: 'QUIT' | 'KILL' | 'TERM';
  /** Folder to remove when the process is gone. */
  readonly remove?: string;
}

// Nobody may collect a dead process whose parent has died (state Z), so that a signal still seems to reach it.
// Ignores the terminal's Ctrl-C: the parent may want to end in order, and then releases the watchdog itself.
const SCRIPT = `
trap '' HUP INT TERM
alive() { kill -0 "$pid" 2>/dev/null && ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$pid/status" 2>/dev/null; }
read -r word
[ "$word" = release ] && exit 0
pid=$1
[ -n "$2" ] && pid=$(head -n 1 "$2" 2>/dev/null)
if [ -n "$pid" ]; then
  kill "-$3" "$pid" 2>/dev/null
  n=0
  while alive && [ $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
  alive && kill -KILL "$pid" 2>/dev/null
fi
n=0
while [ -n "$4" ] && [ -e "$4" ] && [ $n -lt 100 ]; do rm -rf "$4" 2>/dev/null || sleep 0.1; n=$((n + 1)); done
`;

export class Watchdog {
  readonly #shell: ChildProcess;

  constructor(task: WatchdogTask) {
    this.#shell = spawn(
      '/bin/sh',
      ['-c', SCRIPT, 'watchdog', String(task.pid ?? ''), task.pidFile ?? '', task.signal, task.remove ?? ''],
      { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
    );
    // Without a shell there is no watchdog; the 'exit' hook of the owner still works.
    this.#shell.on('error', () => undefined);
    this.#shell.stdin?.on('error', () => undefined);
    this.#shell.unref();
    unrefStream(this.#shell.stdin);
  }

  /** Everything has been cleaned up in order: the shell ends without doing anything. */
  release(): void {
    this.#shell.stdin?.end('release\n');
  }
}

/** A child's pipe is a socket at run time, and would keep the event loop alive. */
export function unrefStream(stream: Writable | NodeJS.ReadableStream | null): void {
  if (stream !== null && 'unref' in stream && typeof stream.unref === 'function') stream.unref();
}
