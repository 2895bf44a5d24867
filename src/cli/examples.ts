/** Examples that `--help` shows, for every command. */
import type { Command } from 'commander';

const NAME = 'db-redundancy';

export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  serve: ['serve', 'serve --env-file .env'],
  streamer: ['streamer --env-file .env'],
  controller: ['controller --env-file .env'],
  failover: ['failover --dry-run', 'failover --reason "maintenance of the primary"'],
  failback: ['failback --dry-run', 'failback --reason "maintenance is done"'],
  pause: ['pause --reason "migration tonight"'],
  resume: ['resume --reason "migration is done"'],
  history: ['history', 'history --limit 10 --json'],
  conflicts: ['conflicts', 'conflicts --json | jq ".[].table"'],
  'dead-letters': ['dead-letters', 'dead-letters --limit 5'],
  'init-secondary': ['init-secondary', 'init-secondary --report json'],
  sync: ['sync --table public.users', 'sync --full', 'sync --full --json'],
  verify: ['verify', 'verify --table public.users --repair', 'verify --json'],
  status: ['status', 'status --watch', 'status --json'],
  doctor: ['doctor', 'doctor --json'],
  export: [
    'export --source primary --output backup.sql.gz',
    'export --source secondary --output - | psql "$OTHER_URL"',
  ],
  import: ['import --target secondary --input backup.sql.gz'],
  demo: ['demo', 'demo --keep'],
  bench: [
    'bench',
    'bench --only P1,P4 --turns 5',
    'bench --primary "$PRIMARY_URL" --secondary "$SECONDARY_URL" --quick',
  ],
  completion: [
    'completion bash > /etc/bash_completion.d/db-redundancy',
    'completion zsh > /usr/local/share/zsh/site-functions/_db-redundancy',
    'completion fish > ~/.config/fish/completions/db-redundancy.fish',
  ],
};

export function addExamples(program: Command): void {
  program.addHelpText('after', '\nEach command has examples: db-redundancy <command> --help');
  for (const command of program.commands) {
    const examples = EXAMPLES[command.name()] ?? [];
    if (examples.length === 0) continue;
    command.addHelpText('after', `\nExamples:\n${examples.map((each) => `  $ ${NAME} ${each}`).join('\n')}`);
  }
}
