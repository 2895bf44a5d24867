/** A copy of the compiled program beside it, with patches; disposing removes it. */
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Patch } from './variants.js';

let copies = 0;

export class BrokenDist implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Beside the original, where relative paths come out the same. @throws Error when a patch does not fit exactly once */
  static async of(dist: string, patches: readonly Patch[]): Promise<BrokenDist> {
    copies += 1;
    const broken = new BrokenDist(join(dirname(dist), `dist.broken-${process.pid}-${copies}`));
    await cp(dist, broken.path, { recursive: true });
    try {
      for (const { file, find, replace } of patches) {
        const path = join(broken.path, file);
        const parts = (await readFile(path, 'utf8')).split(find);
        if (parts.length !== 2)
          throw new Error(`${JSON.stringify(find)} stands ${parts.length - 1} times in ${file}: mend the variant.`);
        await writeFile(path, parts.join(replace));
      }
      return broken;
    } catch (error) {
      await broken[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
