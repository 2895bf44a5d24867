/** What a soak has measured, as a line and as a picture. */
export interface Sample {
  /** Since the beginning. */
  readonly minutes: number;
  readonly streamer: { readonly mib: number; readonly files: number };
  readonly controller: { readonly mib: number; readonly files: number };
}

/** Of the least-squares line, y for each x. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const n = points.length;
  if (n < 2) return 0;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return below === 0 ? 0 : above / below;
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [760, 260, 46, 30];
const CURVES = [
  { name: 'streamer, MiB', color: '#1f6feb', value: (each: Sample) => each.streamer.mib },
  { name: 'controller, MiB', color: '#b35900', value: (each: Sample) => each.controller.mib },
  { name: 'streamer, open files', color: '#1a7f37', value: (each: Sample) => each.streamer.files },
  { name: 'controller, open files', color: '#8250df', value: (each: Sample) => each.controller.files },
] as const;

/** An SVG that stands for itself. */
export function plot(samples: readonly Sample[], title: string): string {
  const longest = Math.max(1, ...samples.map(({ minutes }) => minutes));
  const highest = Math.ceil(Math.max(10, ...CURVES.flatMap(({ value }) => samples.map(value))) / 50) * 50;
  const x = (minutes: number) => (LEFT + (minutes / longest) * (WIDTH - LEFT - 10)).toFixed(1);
  const y = (value: number) => (HEIGHT - BOTTOM - (value / highest) * (HEIGHT - BOTTOM - 24)).toFixed(1);
  const grid = Array.from({ length: highest / 50 + 1 }, (_, i) => i * 50).map(
    (value) =>
      `<path d="M${LEFT} ${y(value)}H${WIDTH - 10}" stroke="#d0d7de"/><text x="${LEFT - 6}" y="${Number(y(value)) + 4}" text-anchor="end">${value}</text>`,
  );
  const ticks = Array.from({ length: Math.floor(longest / 5) + 1 }, (_, i) => i * 5).map(
    (minutes) => `<text x="${x(minutes)}" y="${HEIGHT - 12}" text-anchor="middle">${minutes}</text>`,
  );
  const curves = CURVES.map(({ color, name, value }, i) => {
    const points = samples.map((each) => `${x(each.minutes)},${y(value(each))}`).join(' ');
    return `<polyline fill="none" stroke="${color}" stroke-width="1.5" points="${points}"/><text x="${LEFT + 8 + i * 165}" y="34" fill="${color}">${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11"><title>Memory and open files: ${title}</title><rect width="100%" height="100%" fill="#fff"/><text x="${LEFT}" y="16" font-size="13">${title}; over minutes</text>${[...grid, ...ticks, ...curves].join('')}</svg>\n`;
}
