/** Help, completion and the watched screen, as an operator meets them. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EXAMPLES } from '../../src/cli/examples.js';
import { changeLine, screenLines, type Watched } from '../../src/cli/watch-view.js';
import type { ControllerView } from '../../src/core/system.js';
import { systemWords } from '../../src/core/system-words.js';
import { colorsFor } from '../../src/log/colors.js';
import { ask } from '../harness/broker.js';
import { SNAPSHOT } from '../harness/fixed-status.js';

let main = '';
const run = (...args: string[]) => execFileSync(process.execPath, [main, ...args], { encoding: 'utf8' });

beforeAll(async () => {
  main = join(await ask('dist'), 'cli', 'main.js');
});

describe('help', () => {
  it('of every command has examples, and every example begins with its command', () => {
    const listed = [...run('--help').matchAll(/^ {2}([a-z][a-z-]+) /gm)]
      .map(([, name]) => name)
      .filter((name) => name !== 'help');
    expect(listed.sort()).toEqual(Object.keys(EXAMPLES).sort());
    for (const [name, examples] of Object.entries(EXAMPLES))
      for (const example of examples) expect(example.split(' ')[0]).toBe(name);
    expect(run('status', '--help')).toContain('$ db-redundancy status --watch');
  });
});

describe('completion', () => {
  it('in bash: commands, options of a command, values of an option', () => {
    const folder = mkdtempSync(join(tmpdir(), 'db-redundancy-completion-'));
    const script = join(folder, 'completion.bash');
    writeFileSync(script, run('completion', 'bash'));
    const complete = (...words: string[]) =>
      execFileSync(
        'bash',
        [
          '-c',
          `source "$0"; COMP_WORDS=(db-redundancy "$@"); COMP_CWORD=$#; _db_redundancy; echo "\${COMPREPLY[@]}"`,
          ...[script, ...words],
        ],
        { encoding: 'utf8' },
      )
        .trim()
        .split(' ');
    try {
      expect(complete('fail')).toEqual(['failover', 'failback']);
      expect(complete('status', '--')).toEqual(expect.arrayContaining(['--watch', '--json', '--env-file', '--help']));
      expect(complete('failover', '--dry')).toEqual(['--dry-run']);
      expect(complete('export', '--source', 's')).toEqual(['secondary']);
      expect(complete('completion', 'f')).toEqual(['fish']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('in zsh and fish names every command', () => {
    for (const shell of ['zsh', 'fish']) {
      const script = run('completion', shell);
      for (const name of Object.keys(EXAMPLES)) expect(script).toContain(name);
    }
  });
});

describe('status --watch', () => {
  const up = {
    ...{ connected: true, latencyMs: 3, lastCheck: '2026-01-24T20:00:00Z', error: null },
    ...{ failures: 0, successes: 1, probes: 1, failedProbes: 0 },
  };
  const settings = {
    ...{ checkIntervalMs: 30_000, failoverThreshold: 3, failbackThreshold: 5, cooldownMs: 0 },
    ...{ autoFailover: true, autoFailback: true },
  };
  const controller: ControllerView = {
    ...({ leads: true, state: 'SUSPECT', active: 'primary' } as const),
    ...{ epoch: 7, paused: false, since: '2026-01-24T19:59:00Z' },
    ...{ primary: { ...up, connected: false, failures: 2, error: 'refused' }, secondary: up, alerts: [], routers: 1 },
  };
  const watched: Watched = {
    base: 'http://127.0.0.1:8080',
    view: {
      ...{ name: 's', controller, stream: null, lag: { seconds: 0.2, bytes: 512 }, settings },
      words: systemWords(controller, null, settings),
      tables: { total: 4, streaming: 1, paused: 1 },
      economy: null,
      can: { control: true, failover: true, reconcile: false },
    },
    tables: SNAPSHOT.tables,
    history: [],
    trouble: null,
  };

  it('shows state, sides, lag and the tables that do not stream, without colours elsewhere than on a terminal', () => {
    const text = screenLines(watched, colorsFor({ isTTY: false }), Date.parse('2026-01-24T20:00:05Z')).join('\n');
    expect(text).toContain('The primary does not answer');
    expect(text).toContain('SUSPECT, epoch 7, began 1 min ago');
    expect(text).toMatch(/primary +active +does not answer {2}2 failed in a row, checked 5 s ago: refused/);
    expect(text).toMatch(/lag +200 ms, 512 bytes/);
    expect(text).toMatch(/billing\.invoices {2}paused {2}db:sync/);
    expect(text).not.toMatch(/public\.users/);
    expect(text.includes('\x1b')).toBe(false);
  });

  it('has another line only when more than numbers has changed', () => {
    const line = changeLine(watched);
    expect(line).toContain('SUSPECT epoch 7 active primary');
    expect(line).toContain('does not answer: primary');
    const view = watched.view && { ...watched.view, lag: { seconds: 9, bytes: 9 } };
    expect(changeLine({ ...watched, view })).toBe(line);
  });
});
