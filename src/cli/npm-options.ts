/**
 * `npm run db:sync --table=users` without `--` does not hand the option over: npm takes it for its own configuration and
 * passes it as `npm_config_table`. Options of ours that arrive that way are put back on the command line.
 */
const OURS = [
  ...['table', 'full', 'repair', 'json', 'report', 'verbose', 'env-file', 'seconds', 'keep'],
  ...['dry-run', 'reason', 'allow-data-loss', 'limit', 'watch'],
  ...['source', 'target', 'input', 'output'],
];
/** npm has a setting of this name: it is handed over only where it is an option of ours. */
const FORCED: ReadonlySet<string> = new Set(['db:failover', 'db:failback', 'db:import']);

export function npmOptions(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const script = environment.npm_lifecycle_event;
  if (script === undefined || !(script.startsWith('db:') || script === 'demo')) return [...args];
  const added: string[] = [];
  for (const name of FORCED.has(script) ? [...OURS, 'force'] : OURS) {
    const value = environment[`npm_config_${name.replaceAll('-', '_')}`];
    if (value === undefined || value === '' || args.some((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`)))
      continue;
    if (value === 'true') added.push(`--${name}`);
    else if (value !== 'false') added.push(`--${name}=${value}`);
  }
  return [...args, ...added];
}
