/** Times that say how long ago something was, and go on saying it right. */
import { el, text } from './dom.js';
import { ago, exact } from './format.js';

/** What to add to this machine's clock to get the server's. */
let offsetMs = 0;

export function learnClock(serverMs: number): void {
  if (Number.isFinite(serverMs)) offsetMs = serverMs - Date.now();
}

export function serverNow(): number {
  return Date.now() + offsetMs;
}

export function timeElement(iso: string | null, none = '–'): HTMLElement {
  const element = el('time', { class: 'ago' });
  showTime(element, iso, none);
  return element;
}

export function showTime(element: HTMLElement, iso: string | null, none = '–'): void {
  if (iso === null || Number.isNaN(Date.parse(iso))) {
    element.removeAttribute('datetime');
    element.removeAttribute('title');
    text(element, none);
    return;
  }
  element.setAttribute('datetime', iso);
  element.title = exact(iso);
  text(element, ago(serverNow() - Date.parse(iso)));
}

/** Once a second. */
export function refreshTimes(): void {
  for (const element of document.querySelectorAll<HTMLTimeElement>('time.ago[datetime]')) {
    text(element, ago(serverNow() - Date.parse(element.dateTime)));
  }
}
