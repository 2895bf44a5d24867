/** The lag of the last hour, in seconds and in bytes: loaded once, then continued with what the events say. */
import type { LagHistory, SystemView } from '../core/system.js';
import { read } from './api.js';
import { byId, text } from './dom.js';
import { bytes, clock, lagTime } from './format.js';
import { serverNow } from './times.js';
import uPlot from './uplot.js';

const HOUR_S = 3600;
/** The lower chart has the times below it. */
const HEIGHTS = [132, 160] as const;
/** A process that has just begun has no hour to show. */
const SHORTEST_S = 300;
/** The chart goes on at this pace, also while nothing changes. */
const PACE_MS = 5000;

type Series = [number[], (number | null)[], (number | null)[]];

export class LagChart {
  #data: Series = [[], [], []];
  #now: SystemView['lag'] = null;
  #plots: uPlot[] = [];

  constructor() {
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', () => this.#build());
    new ResizeObserver(() => this.#resize()).observe(byId('lag-seconds'));
    setInterval(() => this.#continue(), PACE_MS);
    this.#build();
  }

  async load(): Promise<void> {
    const { samples } = await read<LagHistory>('api/system/lag-history').catch(() => ({ samples: [] }));
    if (samples.length === 0) return;
    this.#data = [samples.map(([at]) => at / 1000), samples.map(([, lag]) => lag), samples.map(([, , lag]) => lag)];
    this.#draw();
  }

  show(lag: SystemView['lag']): void {
    this.#now = lag;
    this.#highest(serverNow() / 1000);
    this.#readout();
  }

  /** A peak between two steps is kept: the last step holds the highest that was seen. */
  #highest(at: number): void {
    const [times, lags, sizes] = this.#data;
    const last = times.length - 1;
    const then = times[last];
    if (this.#now === null || then === undefined || at - then > PACE_MS / 1000) return;
    lags[last] = Math.max(lags[last] ?? 0, this.#now.seconds);
    sizes[last] = Math.max(sizes[last] ?? 0, this.#now.bytes);
    this.#draw();
  }

  #continue(): void {
    if (document.body.classList.contains('stale')) return;
    const [times, lags, sizes] = this.#data;
    const at = serverNow() / 1000;
    times.push(at);
    lags.push(this.#now?.seconds ?? null);
    sizes.push(this.#now?.bytes ?? null);
    while ((times[0] ?? at) < at - HOUR_S) for (const series of this.#data) series.shift();
    this.#draw();
  }

  #draw(): void {
    const [times, lags, sizes] = this.#data;
    this.#plots[0]?.setData([times, lags]);
    this.#plots[1]?.setData([times, sizes]);
    this.#readout();
  }

  #build(): void {
    for (const plot of this.#plots) plot.destroy();
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const plot = (id: string, label: string, show: (value: number) => string, least: number, base: 2 | 10) => {
      const axis = {
        stroke: color('--muted'),
        font: '11px system-ui, sans-serif',
        grid: { stroke: color('--line'), width: 1 },
        ticks: { show: false },
      };
      const lower = base === 2;
      const height = HEIGHTS[lower ? 1 : 0];
      const times = lower
        ? {
            ...axis,
            space: 70,
            values: (_plot: uPlot, splits: number[]) => splits.map((at) => clock(at * 1000).slice(0, 5)),
          }
        : { ...axis, space: 70, size: 6, values: () => [] };
      return new uPlot(
        {
          width: this.#width(),
          height,
          padding: [10, 8, 0, 0],
          legend: { show: false },
          cursor: { sync: { key: 'lag' }, drag: { x: false, y: false }, points: { size: 7 } },
          scales: {
            x: { range: () => this.#span() },
            y: { range: (_plot, _low, high) => [0, Math.max(least, (high ?? 0) * 1.15)] },
          },
          axes: [
            times,
            {
              ...axis,
              size: 62,
              space: 28,
              incrs: increments(base),
              values: (_plot, splits) => splits.map(show),
            },
          ],
          series: [
            {},
            {
              label,
              stroke: color('--accent'),
              width: 1.5,
              fill: color('--accent-soft'),
              points: { show: false },
              spanGaps: false,
            },
          ],
          hooks: { setCursor: [(chart) => this.#readout(chart.cursor.idx)] },
        },
        [[], []],
        byId(id),
      );
    };
    this.#plots = [
      plot('lag-seconds', 'Lag, seconds', lagTime, 0.1, 10),
      plot('lag-bytes', 'Lag, bytes', bytes, 1024, 2),
    ];
    this.#draw();
  }

  /** What the pointer is at, else now and the highest. */
  #readout(index: number | null | undefined = this.#plots[0]?.cursor.idx): void {
    const [times, lags, sizes] = this.#data;
    const pair = (lag: number | null | undefined, size: number | null | undefined) =>
      lag == null || size == null ? 'not streaming' : `${lagTime(lag)}, ${bytes(size)}`;
    const most = (values: (number | null)[]) => values.reduce<number>((high, value) => Math.max(high, value ?? 0), 0);
    const at = index == null ? undefined : times[index];
    const peak = `highest in the last hour ${lagTime(most(lags))}, ${bytes(most(sizes))}`;
    const now = `Now: ${pair(this.#now?.seconds, this.#now?.bytes)}`;
    text(
      byId('lag-readout'),
      at === undefined || index == null
        ? `${now} · ${peak}`
        : `${clock(at * 1000)} · ${pair(lags[index], sizes[index])}`,
    );
    for (const id of ['lag-seconds', 'lag-bytes']) {
      const unit = id === 'lag-seconds' ? 'seconds' : 'bytes';
      byId(id).setAttribute('aria-label', `Lag in ${unit} over the last hour. ${now}; ${peak}.`);
    }
  }

  #width(): number {
    return Math.max(200, byId('lag-seconds').clientWidth);
  }

  /** The last hour, or what there is of it. */
  #span(): [number, number] {
    const now = serverNow() / 1000;
    return [Math.max(now - HOUR_S, Math.min(this.#data[0][0] ?? now, now - SHORTEST_S)), now];
  }

  #resize(): void {
    for (const [i, plot] of this.#plots.entries()) {
      const size = { width: this.#width(), height: HEIGHTS[i] ?? plot.height };
      if (plot.width !== size.width) plot.setSize(size);
    }
  }
}

/** Round numbers to divide an axis by: of seconds decimal ones, of bytes powers of two. */
function increments(base: 2 | 10): number[] {
  if (base === 2) return Array.from({ length: 44 }, (_, power) => 2 ** power);
  return [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 86_400];
}
