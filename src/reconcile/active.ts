/** Which side applications write to. While it is the secondary, the primary is not the model to be followed. */
import { RedundancyError } from '../core/errors.js';
import type { TargetLink } from '../meta/target-link.js';

export async function secondaryIsActive(link: TargetLink, stream: string): Promise<boolean> {
  const { rows } = await link.run('SELECT active FROM db_redundancy.control WHERE stream = $1', [stream]);
  return rows[0]?.active === 'secondary';
}

export class SecondaryActiveError extends RedundancyError {
  constructor() {
    super('The secondary is the active database: it is not to be made equal to the primary.', {
      code: 'secondary-active',
      remedy: 'Wait for the failback (db:status), or order it with db:failback.',
      exitCode: 3,
    });
  }
}
