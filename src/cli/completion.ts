/** Completion scripts for shells, made from the commands themselves: what is added to them is completed too. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const NAME = 'db-redundancy';
const FUNCTION = '_db_redundancy';
/** Values of these are names of files. */
const FILES: ReadonlySet<string> = new Set(['--env-file', '--input', '--output']);

interface Offered {
  readonly name: string;
  readonly description: string;
  readonly words: readonly string[];
  readonly options: readonly Option[];
}

export function completionScript(program: Command, shell: Shell): string {
  const commands = program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    words: command.registeredArguments.flatMap((argument) => argument.argChoices ?? []),
    options: [...command.options, ...program.options],
  }));
  return { bash, zsh, fish }[shell](commands);
}

function bash(commands: readonly Offered[]): string {
  const flags = new Map(commands.flatMap(({ options }) => options.map((option) => [option.long ?? '', option])));
  const chosen = [...flags.values()].filter((option) => option.argChoices !== undefined);
  const free = [...flags.values()].filter(
    ({ argChoices, long, required }) => required && argChoices === undefined && !FILES.has(long ?? ''),
  );
  const after = [
    ...chosen.map((option) => `    ${option.long}) words="${option.argChoices?.join(' ')}" ;;`),
    `    ${[...FILES].join('|')}) COMPREPLY=($(compgen -f -- "$current")); return ;;`,
    // A reason or a number is nobody's to guess.
    `    ${free.map((option) => option.long).join('|')}) return ;;`,
  ];
  const cases = commands.map(
    ({ name, options, words }) =>
      `      ${name}) words="${[...words, ...options.map((option) => option.long), '--help'].join(' ')}" ;;`,
  );
  return `# bash completion of ${NAME}
${FUNCTION}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  COMPREPLY=()
  case "$previous" in
${after.join('\n')}
  esac
  if [ -z "$words" ]; then
    case "$([ "$COMP_CWORD" -gt 1 ] && echo "\${COMP_WORDS[1]}")" in
${cases.join('\n')}
      *) words="${commands.map(({ name }) => name).join(' ')} --help" ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F ${FUNCTION} ${NAME}
`;
}

function zsh(commands: readonly Offered[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const names = commands.map(
    ({ description, name }) => `    ${quoted(`${name}:${description.replaceAll(':', '\\:')}`)}`,
  );
  const value = ({ argChoices, long, required }: Option) => {
    if (!required) return '';
    if (argChoices !== undefined) return `:value:(${argChoices.join(' ')})`;
    return FILES.has(long ?? '') ? ':file:_files' : ':value:';
  };
  const cases = commands.map(({ name, options, words }) => {
    const specs = options.map((option) =>
      quoted(`${option.long}[${option.description.replaceAll(/[[\]:]/g, '\\$&')}]${value(option)}`),
    );
    specs.push(quoted('--help[examples and options]'));
    const named = words.length === 0 ? [] : [quoted(`1:value:(${words.join(' ')})`)];
    return `    ${name}) _arguments ${[...specs, ...named].join(' ')} ;;`;
  });
  return `#compdef ${NAME}
${FUNCTION}() {
  local -a commands
  commands=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = "_${NAME}" ]; then ${FUNCTION} "$@"; else compdef ${FUNCTION} ${NAME}; fi
`;
}

function fish(commands: readonly Offered[]): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = commands.flatMap(({ description, name, options, words }) => {
    const within = `complete -c ${NAME} -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c ${NAME} -f -n __fish_use_subcommand -a ${name} -d ${quoted(description)}`,
      ...options.map((option) => {
        const { argChoices, description, long, required } = option;
        const values = argChoices === undefined ? '' : ` -a ${quoted(argChoices.join(' '))}`;
        // Another word follows: a name of a file, or nothing that could be guessed.
        const takes = !required ? '' : FILES.has(long ?? '') ? ' -r -F' : ' -x';
        return `${within} -l ${(long ?? '').replace(/^--/, '')} -d ${quoted(description)}${takes}${values}`;
      }),
      `${within} -l help -d 'examples and options'`,
      ...words.map((word) => `${within} -a ${word}`),
    ];
  });
  return `# fish completion of ${NAME}\ncomplete -c ${NAME} -f\n${lines.join('\n')}\n`;
}
