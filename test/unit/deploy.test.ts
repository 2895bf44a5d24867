/** The files of deploy/ and compose.yaml against what they speak of: metrics, configuration, the image, the runbook. */
import { access, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { environmentSchema } from '../../src/config/schema.js';
import { NODE_FLAGS } from '../../src/core/node-flags.js';
import { controllerMetrics } from '../../src/http/controller-metrics.js';
import { economyMetrics } from '../../src/http/economy-metrics.js';
import { createMetrics } from '../../src/http/metrics.js';
import { METRIC_PREFIX } from '../../src/http/stream-metrics.js';
import { FixedStatus } from '../harness/fixed-status.js';

const read = (path: string) => readFile(fileURLToPath(new URL(`../../${path}`, import.meta.url)), 'utf8');

interface Metric {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

/**
 * The registry that `GET /metrics` serves is the authority: whoever adds a module that registers metrics of its own adds
 * it here, in one place, as serve does.
 */
async function registered(): Promise<Map<string, ReadonlySet<string>>> {
  const { registry } = createMetrics(new FixedStatus());
  controllerMetrics(registry, unread);
  economyMetrics(registry, unread);
  const metrics = (await registry.getMetricsAsArray()) as unknown as (Metric & { labelNames?: string[] })[];
  const names = new Map<string, ReadonlySet<string>>();
  for (const { name } of metrics) {
    const { labelNames = [] } = registry.getSingleMetric(name) as unknown as { labelNames?: string[] };
    names.set(name, new Set(labelNames));
    for (const part of ['_bucket', '_sum', '_count']) names.set(name + part, new Set([...labelNames, 'le']));
  }
  return names;
}

/** Names and labels are looked at, not values. */
function unread(): never {
  throw new Error('nothing is scraped here');
}

/** Labels that Prometheus adds itself, and the one that every scrape has (test/unit/http-metrics). */
const TARGET_LABELS = ['instance', 'job', 'stream'];

/** Every metric of an expression, with the labels that its selector names. */
function selectors(expression: string): { name: string; labels: string[] }[] {
  const found = expression.matchAll(/\b([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})?/g);
  return [...found]
    .filter(([, name = '']) => name.startsWith(METRIC_PREFIX))
    .map(([, name = '', list = '']) => ({
      name,
      labels: [...list.matchAll(/(\w+)\s*[=!]/g)].map((label) => label[1] ?? ''),
    }));
}

/** `max by (stream, table) (metric)`, `and on (job)`: these must be labels of the metrics. */
function grouped(expression: string): string[] {
  return [...expression.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap((match) =>
    (match[1] ?? '').split(',').map((each) => each.trim()),
  );
}

async function expectKnown(expressions: readonly string[]) {
  const known = await registered();
  for (const expression of expressions) {
    const used = selectors(expression);
    expect(used.length, expression).toBeGreaterThan(0);
    for (const { name, labels } of used) {
      expect([...known.keys()], expression).toContain(name);
      const its = [...(known.get(name) ?? []), ...TARGET_LABELS];
      for (const label of [...labels, ...grouped(expression)])
        expect(its, `${label} of ${expression}`).toContain(label);
    }
  }
}

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

describe('deploy/prometheus-alerts.yaml', () => {
  const rules = async () =>
    (parse(await read('deploy/prometheus-alerts.yaml')) as { groups: { rules: AlertRule[] }[] }).groups.flatMap(
      (group) => group.rules,
    );

  it('asks for metrics and labels that exist', async () => {
    await expectKnown((await rules()).map((rule) => rule.expr));
  });

  it('has a severity, a summary and a line in the runbook for every alert, and the runbook for no other', async () => {
    const runbook = await read('docs/operations.md');
    const list = await rules();
    for (const { alert, labels, annotations } of list) {
      expect(['critical', 'warning'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toMatch(/^\S.{10,}/);
    }
    const documented = [...runbook.matchAll(/\|\s*`(DbRedundancy\w+)`/g)].map((match) => match[1]);
    expect(documented.sort()).toEqual(list.map((rule) => rule.alert).sort());
  });
});

describe('deploy/grafana-dashboard.json', () => {
  it('shows metrics and labels that exist, each panel something', async () => {
    const dashboard = JSON.parse(await read('deploy/grafana-dashboard.json')) as {
      panels: { title: string; targets: { expr: string; legendFormat: string }[] }[];
      templating: { list: { query: string | { query: string } }[] };
    };
    const expressions = dashboard.panels.flatMap((panel) => panel.targets.map((target) => target.expr));
    const variables = dashboard.templating.list.flatMap(({ query }) =>
      typeof query === 'string' ? [] : [query.query],
    );
    await expectKnown([...expressions, ...variables]);
    expect(dashboard.panels.every((panel) => panel.targets.length > 0)).toBe(true);
  });
});

const known = new Set([...Object.keys(environmentSchema.shape), 'NODE_ENV']);

describe('compose.yaml', () => {
  it('has both databases and the service, with variables that exist', async () => {
    const compose = parse(await read('compose.yaml')) as {
      services: Record<
        string,
        { environment?: Record<string, string>; command?: string[]; volumes?: string[]; image?: string }
      >;
      volumes: Record<string, unknown>;
    };
    const { primary, secondary, redundancy } = compose.services;
    expect(primary?.command?.join(' ')).toContain('wal_level=logical');
    expect(secondary?.image).toMatch(/cockroach/);
    for (const name of Object.keys(redundancy?.environment ?? {})) expect([...known]).toContain(name);
    const mounted = Object.values(compose.services).flatMap((service) =>
      (service.volumes ?? []).map((volume) => volume.split(':')[0] ?? ''),
    );
    const files = mounted.filter((source) => source.startsWith('./'));
    for (const path of files) await access(fileURLToPath(new URL(`../../${path}`, import.meta.url)));
    const used = mounted.filter((source) => !files.includes(source));
    expect(used.sort()).toEqual(Object.keys(compose.volumes).sort());
  });
});

interface KubernetesObject {
  readonly kind: string;
  readonly data?: Record<string, string>;
  readonly spec: {
    replicas: number;
    template: {
      spec: {
        terminationGracePeriodSeconds: number;
        securityContext: { runAsNonRoot: boolean };
        containers: {
          livenessProbe: { httpGet: { path: string } };
          readinessProbe: { httpGet: { path: string } };
          securityContext: { readOnlyRootFilesystem: boolean };
          volumeMounts: { mountPath: string }[];
        }[];
      };
    };
  };
}

describe('deploy/kubernetes.yaml', () => {
  it('runs two replicas, alive by /healthz and ready by /readyz, not as root, with variables that exist', async () => {
    const documents = parseAllDocuments(await read('deploy/kubernetes.yaml'));
    expect(documents.flatMap((document) => document.errors)).toEqual([]);
    const objects = documents.map((document) => document.toJS() as KubernetesObject);
    const deployment = objects.find((object) => object.kind === 'Deployment');
    expect(deployment?.spec.replicas).toBe(2);
    const pod = deployment?.spec.template.spec;
    const container = pod?.containers[0];
    expect(container?.livenessProbe.httpGet.path).toBe('/healthz');
    expect(container?.readinessProbe.httpGet.path).toBe('/readyz');
    expect(pod?.securityContext.runAsNonRoot).toBe(true);
    expect(pod?.terminationGracePeriodSeconds).toBeGreaterThan(10);
    const config = objects.find((object) => object.kind === 'ConfigMap');
    for (const name of Object.keys(config?.data ?? {})) expect([...known]).toContain(name);
    // The root is read-only: the folder that the image names for its state must be a volume.
    const state = /DB_STATE_DIR=(\S+)/.exec(await read('Dockerfile'))?.[1];
    expect(container?.volumeMounts.map((mount) => mount.mountPath)).toContain(state);
  });
});

describe('deploy/db-redundancy.service', () => {
  it('restarts but for a wrong configuration, leaves the process its time to end, and runs without rights', async () => {
    const lines = (await read('deploy/db-redundancy.service'))
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    for (const line of lines) expect(line).toMatch(/^(\[\w+\]|[A-Z]\w*=.*)$/);
    const value = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
    expect(value('ExecStart')).toBe(`/usr/bin/node ${NODE_FLAGS.join(' ')} dist/cli/main.js serve`);
    expect(value('Restart')).toBe('always');
    expect(value('RestartPreventExitStatus')).toBe('2');
    expect(Number(value('TimeoutStopSec'))).toBeGreaterThan(10);
    expect(value('DynamicUser')).toBe('yes');
    for (const assignment of (value('Environment') ?? '').split(' '))
      expect([...known]).toContain(assignment.split('=')[0]);
  });
});

/** Docker is not at hand where these tests run: what can be said of the image without building it. */
describe('Dockerfile', () => {
  it('copies what exists, runs as another user than root behind an init, and has a health check', async () => {
    const text = await read('Dockerfile');
    const copied = [...text.matchAll(/^COPY (?:--chown=\S+ )?(?!--from)(.+) \S+$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' '),
    );
    expect(copied).toContain('migrations');
    for (const path of copied) await access(fileURLToPath(new URL(`../../${path}`, import.meta.url)));
    const final = text.slice(text.lastIndexOf('\nFROM '));
    expect(final.indexOf('\nUSER node')).toBeLessThan(final.indexOf('\nENTRYPOINT'));
    expect(final).toContain('\nUSER node');
    expect(final).toMatch(/\nHEALTHCHECK .*\\\n {2}CMD .*\/healthz/);
    expect(final).toContain(
      `\nENTRYPOINT ${JSON.stringify(['tini', '--', 'node', ...NODE_FLAGS, 'dist/cli/main.js']).replaceAll(',', ', ')}\n`,
    );
  });
});

describe('however the program is started', () => {
  it('Node has the same flags', async () => {
    const { scripts } = JSON.parse(await read('package.json')) as { scripts: Record<string, string> };
    const starts = Object.values(scripts).filter((script) => script.includes('dist/cli/main.js'));
    expect(starts.length).toBeGreaterThan(10);
    for (const script of starts) expect(script).toContain(`node ${NODE_FLAGS.join(' ')} dist/cli/main.js`);
    expect(await read('src/cli/main.ts')).toMatch(`#!/usr/bin/env -S node ${NODE_FLAGS.join(' ')}\n`);
  });
});
