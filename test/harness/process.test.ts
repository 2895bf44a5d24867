/** Children of tests: their output, their memory, their end. */
import { describe, expect, it } from 'vitest';
import { TestProcess } from './process.js';

describe('TestProcess', () => {
  const run = (script: string, env = {}) => TestProcess.spawn(process.execPath, ['-e', script], { env });

  it('collects lines of both streams, the last one too, and the exit code', async () => {
    await using child = run("console.log(process.env.GREETING); console.error('bad'); process.stdout.write('end')", {
      GREETING: 'hi',
    });
    expect(await child.waitForLine(/^h/)).toBe('hi');
    expect(await child.exit).toEqual({ code: 0, signal: null });
    expect(child.output('stdout')).toBe('hi\nend');
    expect(child.output('stderr')).toBe('bad');
    await expect(child.waitForLine(/never/)).rejects.toThrow('hi');
    expect(child.ended).toEqual({ code: 0, signal: null });
  });

  it('rejects a wait whose process ends, and reports a program that does not exist', async () => {
    await using child = run("console.log('only this')");
    await expect(child.waitForLine(/something else/)).rejects.toThrow('only this');
    await using missing = TestProcess.spawn('/does/not/exist', []);
    await missing.exit;
    expect(missing.output()).toContain('ENOENT');
  });

  it('measures the peak of resident memory', async () => {
    await using child = run(
      "let b = Buffer.alloc(120e6, 1); b = null; console.log('done'); setInterval(() => {}, 1e6)",
    );
    await child.waitForLine(/done/);
    expect(await child.peakRssBytes()).toBeGreaterThan(120e6);
  });

  it('kills with a signal, and at disposal a child that ignores it', async () => {
    const child = run("process.on('SIGTERM', () => console.log('no')); console.log('up'); setInterval(() => {}, 1e6)");
    await child.waitForLine(/up/);
    child.kill('SIGTERM');
    await child.waitForLine(/no/);
    await child[Symbol.asyncDispose]();
    expect(await child.exit).toEqual({ code: null, signal: 'SIGKILL' });
  });
});
