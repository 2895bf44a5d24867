/** Economy mode and budgets for people, a line each: pure. */
import type { BudgetLine, EconomyView } from './economy.js';

const whole = (value: number) => Math.round(value).toLocaleString('en');
const hours = (value: number) => value.toFixed(value < 10 ? 1 : 0);

const minute = (iso: string) => `${iso.slice(0, 16).replace('T', ' ')} UTC`;
const rests = (number: number) => (number === 1 ? '1 rest' : `${number} rests`);

function lineText(
  name: string,
  unit: (value: number) => string,
  { budget, exceeded, projected, used }: BudgetLine,
): string {
  const end = projected === null ? 'too early for a projection' : `${unit(projected)} projected`;
  return `${name} this month: ${unit(used)} used, ${end}, of ${unit(budget)}${exceeded ? ': OVER THE BUDGET' : ''}`;
}

export function economyWords({ budget, neon, rest }: EconomyView): string[] {
  const lines: string[] = [];
  if (rest !== null) {
    const wake = rest.lastWakeSeconds === null ? '' : `, the last wake took ${rest.lastWakeSeconds} s`;
    const state = { awake: 'is in use', resting: 'is left alone', elsewhere: 'is the affair of another controller' };
    lines.push(
      `Economy mode: the primary ${state[rest.mode]} since ${minute(rest.since)}, ${rests(rest.rests)}${wake}`,
    );
  }
  if (neon !== null)
    lines.push(`Neon's API: ${neon.problem ?? `the endpoint is ${neon.state ?? 'not asked about yet'}`}`);
  if (budget === null) return lines;
  lines.push(lineText('Request units', whole, budget.requestUnits));
  if (budget.computeHours) lines.push(lineText('Compute-hours', hours, budget.computeHours));
  if (budget.slowed) lines.push('Sweep and verify come more seldom, because a budget will not last');
  return lines;
}
