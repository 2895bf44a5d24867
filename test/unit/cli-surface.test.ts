/** Help, completion and the watched screen, as an operator meets them. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
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

/** Types a line and two tabs into an interactive zsh, and prints what its terminal shows until all the words have come. */
const ZSH_DRIVER = `
zmodload zsh/zpty
zpty shell "TERM=dumb zsh -f -i"
zpty -w shell "stty columns 200; autoload -Uz compinit && compinit -u -D; source $1; LISTMAX=0 PS1='PRO''MPT '"
zpty -r -m shell seen '*PROMPT*' || exit 1
zpty -w -n shell "$2"$'\\t\\t'
zpty -r -m shell seen "*\${(j:*:)argv[3,-1]}*" || exit 1
print -r -- "$seen"
zpty -d shell
`;

function has(shell: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => existsSync(join(folder, shell)));
}

async function fileOf(name: string, text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'db-redundancy-completion-'));
  const path = join(folder, name);
  writeFileSync(path, text);
  return { path, [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }) };
}

const scriptOf = (shell: string) => fileOf(`completion.${shell}`, run('completion', shell));

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

describe('--json', () => {
  it('is an option of every command that ends with a result', () => {
    const others = ['serve', 'streamer', 'controller', 'demo', 'bench', 'completion'];
    const asked = Object.keys(EXAMPLES).filter((name) => !others.includes(name));
    // The completion has the options of every command.
    const script = run('completion', 'bash');
    expect(asked.filter((name) => !new RegExp(`^ +${name}\\) words=".*--json`, 'm').test(script))).toEqual([]);
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

  it.skipIf(!has('fish'))('in a fish: commands, options of a command, values of an option, files', async () => {
    await using script = await scriptOf('fish');
    const complete = (line: string) =>
      execFileSync('fish', ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script.path, line], {
        encoding: 'utf8',
      })
        .trim()
        .split('\n')
        .map((each) => each.split('\t')[0] ?? '');
    expect(complete('db-redundancy fail')).toEqual(['failback', 'failover']);
    expect(complete('db-redundancy status --').sort()).toEqual([
      ...['--env-file', '--help', '--json', '--verbose', '--watch'],
    ]);
    expect(complete('db-redundancy export --source s')).toEqual(['secondary']);
    expect(complete('db-redundancy completion f')).toEqual(['fish']);
    expect(complete('db-redundancy status ')).toEqual(['']);
    expect(complete(`db-redundancy import --input ${script.path.slice(0, -3)}`)).toEqual([script.path]);
  });

  it.skipIf(!has('zsh'))(
    'in a zsh: commands, options of a command, values of an option',
    { timeout: 60_000 },
    async () => {
      await using script = await scriptOf('zsh');
      await using driver = await fileOf('driver.zsh', ZSH_DRIVER);
      // Ends with the last of the words, or fails after the time.
      const complete = (line: string, ...words: string[]) =>
        execFileSync('zsh', ['-f', driver.path, script.path, line, ...words], { encoding: 'utf8', timeout: 20_000 });
      const listed = complete('db-redundancy fail', 'failback', 'make the primary', 'failover', 'make the secondary');
      expect(listed).not.toContain('pause');
      complete('db-redundancy status --', '--env-file', '--help', '--json', '--watch', 'Ctrl-C: a live');
      complete('db-redundancy export --source s', 'secondary');
      complete('db-redundancy completion ', 'bash', 'fish', 'zsh');
    },
  );
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

  it('says of a primary at rest that it is not asked, and what the slot and the dead letters are', () => {
    const rest = {
      mode: 'resting',
      since: '2026-01-24T20:00:00Z',
      wokenBy: null,
      rests: 1,
      restedSeconds: 60,
    } as const;
    const economy = {
      rest: { ...rest, lastWakeSeconds: null },
      neon: null,
      budget: null,
      rested: [],
      words: ['Economy mode: ...'],
    };
    const stream = {
      ...({ status: 'detached', detail: null, lagSeconds: 0, lagBytes: 0, appliedLsn: null, lastSync: null } as const),
      ...{ lastAppliedCommitAt: null, rowsApplied: 1, transactionsApplied: 1, deadLetters: 3, dropped: 0 },
      slot: { name: 'my_slot', active: false, walStatus: null, retainedBytes: 4096 },
    };
    const view = watched.view && { ...watched.view, economy, stream, controller: { ...controller, primary: up } };
    const text = screenLines({ ...watched, view }, colorsFor({ isTTY: false }), Date.parse(up.lastCheck)).join('\n');
    expect(text).toMatch(/primary +active +at rest, not asked\n +secondary +standby +connected/);
    expect(text).toMatch(/slot +my_slot, missing, 4,096 bytes of WAL kept\n +3 dead letters: npm run db:dead-letters/);
    expect(text).toMatch(/cost +Economy mode/);
  });

  it('has another line only when more than numbers has changed', () => {
    const line = changeLine(watched);
    expect(line).toContain('SUSPECT epoch 7 active primary');
    expect(line).toContain('does not answer: primary');
    const view = watched.view && { ...watched.view, lag: { seconds: 9, bytes: 9 } };
    expect(changeLine({ ...watched, view })).toBe(line);
  });
});
