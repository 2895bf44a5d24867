/**
 * The last control row that this process knew, on its own disk: written before it acts on it, so that a machine that
 * comes back with neither database in reach still knows a lower bound of the epoch.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { ControlRow } from './control-row.js';

export class StateFile {
  readonly #folder: string;
  readonly #path: string;

  /** @param place names the secondary, so that two deployments with one folder do not meet */
  constructor(folder: string, stream: string, place: string) {
    this.#folder = folder;
    const hash = createHash('sha256').update(place).digest('hex').slice(0, 12);
    this.#path = join(folder, `control-${stream}-${hash}.json`);
  }

  /** Null when there is none, or it was cut off by a crash of the machine. */
  async read(): Promise<ControlRow | null> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#path, 'utf8'));
      const row = value as ControlRow;
      return typeof row.epoch === 'number' && typeof row.detail?.id === 'string' ? row : null;
    } catch {
      return null;
    }
  }

  /** Whole or not at all: a new file, flushed, takes the old one's place, and the folder is flushed too. */
  async write(row: ControlRow): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const next = `${this.#path}.${process.pid}.next`;
    const file = await open(next, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(row)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, this.#path);
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
