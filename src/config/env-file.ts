import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { ConfigurationError } from '../core/errors.js';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Reads a file of `NAME=value` lines (quotes, comments and `export ` as in Node's --env-file). */
export function readEnvFile(path: string): Environment {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ConfigurationError(`The environment file ${JSON.stringify(path)} cannot be read.`, {
      code: 'env-file-unreadable',
      remedy: 'Correct the path given with --env-file, or the permissions of the file.',
      cause,
    });
  }
  return parseEnv(text);
}

/** The process environment wins over the file, as with Node's own --env-file. */
export function mergeEnvironment(file: Environment, process: Environment): Environment {
  return { ...file, ...process };
}
