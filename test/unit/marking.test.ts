import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { markFor } from '../../src/cli/marking.js';

describe('V8 marks its heap', () => {
  it('late while bytes are copied, early otherwise, and is told of changes only', () => {
    const told: string[] = [];
    const mark = markFor((flag) => told.push(flag));
    mark('others');
    expect(told).toEqual([]);
    for (const kind of ['copied-bytes', 'copied-bytes', 'others', 'others', 'copied-bytes'] as const) mark(kind);
    expect(told).toEqual([
      '--no-incremental-marking-task',
      '--incremental-marking-task',
      '--no-incremental-marking-task',
    ]);
  });

  it('by flags that this Node has', () => {
    const told: string[] = [];
    const mark = markFor((flag) => told.push(flag));
    mark('copied-bytes');
    mark('others');
    for (const flag of told) {
      expect(spawnSync(process.execPath, [flag, '--eval', '0'], { encoding: 'utf8' })).toMatchObject({
        status: 0,
        stderr: '',
      });
    }
    expect(spawnSync(process.execPath, ['--no-such-marking-task', '--eval', '0']).status).not.toBe(0);
  });
});
