/** Steps of a person on the dashboard. */
import axe from 'axe-core';
import type { Page } from 'playwright-core';
import { expect } from 'vitest';

/** Waits until the first element of the selector has this text. */
export async function shows(page: Page, selector: string, wanted: string | RegExp): Promise<void> {
  const found = page.locator(selector).first();
  const read = () => found.textContent({ timeout: 15_000 });
  await expect
    .poll(read, { timeout: 30_000, interval: 100, message: `${selector} shows ${wanted}` })
    .toMatch(typeof wanted === 'string' ? new RegExp(`^${escaped(wanted)}$`) : wanted);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** First step of the dialog, by keyboard. @param name null: it is open already */
export async function begin(page: Page, name: string | null, token: string): Promise<void> {
  if (name !== null) {
    // One that is not offered yet takes no focus, and the key would go to the button that had it before.
    const button = page.locator(`[data-order="${name}"]:enabled`);
    await button.waitFor({ state: 'visible' });
    await button.focus();
    await page.keyboard.press('Enter');
  }
  await page.fill('#order-reason', 'tested in a browser');
  await page.fill('#order-token', token);
  await page.keyboard.press('Enter');
}

export async function carryOut(page: Page, result: RegExp): Promise<void> {
  await page.click('dialog .buttons button:last-child');
  await shows(page, '#order-result', result);
  await page.keyboard.press('Enter');
  await expect.poll(() => page.isVisible('dialog')).toBe(false);
}

/** Nothing is to be scrolled sideways, once the chart has followed the window. */
export async function fits(page: Page, width: number, height: number): Promise<void> {
  await page.setViewportSize({ width, height });
  const read = () => page.evaluate<number>('document.documentElement.scrollWidth');
  await expect.poll(read, { message: `it fits in ${width}` }).toBeLessThanOrEqual(width);
}

/** What axe-core finds, as sentences. Evaluated from outside: the page's policy lets no script in. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: { run(): Promise<AxeResults> } }).axe.run();
    return violations.map(({ help, id, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(' | ')}`);
  });
}

interface AxeResults {
  readonly violations: readonly { id: string; help: string; nodes: readonly { html: string }[] }[];
}
