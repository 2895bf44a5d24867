import type { Config } from '../config/config.js';
import { primaryChecks } from './primary-checks.js';
import { readPrimaryFacts } from './primary-facts.js';
import { inspectSide, type SideReport } from './session.js';
import { tableChecks } from './table-checks.js';
import { readTableFacts } from './table-facts.js';

/** Everything that must hold on the primary before a publication or a slot is created. Changes nothing. */
export function inspectPrimary(config: Pick<Config, 'primary' | 'tables' | 'stream'>): Promise<SideReport> {
  const { slot, publication } = config.stream;
  return inspectSide('primary', config.primary, async (client) => {
    const facts = await readPrimaryFacts(client, slot, publication);
    const tables = await readTableFacts(client, config.tables, publication);
    return [
      ...primaryChecks(facts, { host: config.primary.host, slot, publication }),
      ...tableChecks(tables, {
        role: facts.role,
        superuser: facts.superuser,
        publicationName: publication,
        publication: facts.publication,
      }),
    ];
  });
}
