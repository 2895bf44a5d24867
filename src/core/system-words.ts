/** The situation in words: what it means, and what happens next. Pure. */
import type { FailoverState } from './failover.js';
import type { StreamStatus } from './status.js';
import type { ControllerView, StreamView, SystemSettings, SystemWords } from './system.js';

type Facts = { readonly controller: ControllerView; readonly settings: SystemSettings };
type Words = (facts: Facts) => SystemWords;

const every = (ms: number) => (ms < 1000 ? `${ms} ms` : `${Math.round(ms / 1000)} s`);

const STATES: Readonly<Record<FailoverState, Words>> = {
  PRIMARY_ACTIVE: ({ controller, settings }) => ({
    tone: controller.secondary.connected ? 'good' : 'warning',
    title: 'The primary is active',
    meaning: controller.secondary.connected
      ? 'Applications work on the primary, and the secondary follows it.'
      : 'Applications work on the primary. The secondary does not answer: changes wait in the slot until it is back.',
    next: settings.autoFailover
      ? `The primary is checked every ${every(settings.checkIntervalMs)}. After ${settings.failoverThreshold} failed checks in a row the secondary takes over by itself, if the guards allow it.`
      : 'Automatic failover is off: only a person makes the secondary active.',
  }),
  SUSPECT: ({ controller, settings }) => ({
    tone: 'warning',
    title: 'The primary does not answer',
    meaning: `${controller.primary.failures} of ${settings.failoverThreshold} checks in a row have failed. Applications still point to the primary.`,
    next: settings.autoFailover
      ? `At ${settings.failoverThreshold} the guards are judged, and the secondary takes over if all of them hold.`
      : 'Automatic failover is off: only a person makes the secondary active.',
  }),
  GUARD: () => ({
    tone: 'warning',
    title: 'The primary is down',
    meaning: 'The guards of a failover are being judged.',
    next: 'If all of them hold, the secondary takes over now; else the failover is held, with the reason as an alert.',
  }),
  PRIMARY_DOWN_HELD: () => ({
    tone: 'bad',
    title: 'The primary is down, and no failover is made',
    meaning: 'A guard speaks against the failover; the alert says which.',
    next: 'The guards are judged again at each check. A person may go past some of them: order a failover to see each.',
  }),
  FENCING_PRIMARY: ({ controller }) => ({
    tone: 'busy',
    title: 'Failover under way',
    meaning:
      controller.active === 'primary'
        ? 'New queries wait. The primary is being closed, and the stream brings over everything that was committed there.'
        : 'New queries wait. The secondary is being prepared; this is past the point of no return.',
    next:
      controller.active === 'primary'
        ? 'Then the secondary is opened. If that takes too long, the primary is opened again and nothing has changed.'
        : 'The secondary is opened in a moment.',
  }),
  SECONDARY_ACTIVE: () => ({
    tone: 'warning',
    title: 'The secondary is active',
    meaning: 'Applications work on the secondary. The primary is out of use.',
    next: 'When the primary answers, it is fenced, and what was written on the secondary is copied to it.',
  }),
  RECOVERING: () => ({
    tone: 'warning',
    title: 'The secondary is active, the primary is catching up',
    meaning: 'Applications work on the secondary. The primary answers, is closed to them, and gets what was written.',
    next: 'When the primary has nearly everything, a failback becomes possible.',
  }),
  READY: ({ settings }) => ({
    tone: 'warning',
    title: 'The secondary is active, the primary is ready',
    meaning: 'Applications work on the secondary. The primary has caught up, and keeps following.',
    next: settings.autoFailback
      ? `The primary becomes active again by itself after ${settings.failbackThreshold} good checks in a row, ${every(settings.cooldownMs)} after the last change at the earliest.`
      : 'Automatic failback is off: order a failback when it suits you.',
  }),
  FENCING_SECONDARY: () => ({
    tone: 'busy',
    title: 'Failback under way',
    meaning: 'New queries wait. The secondary is being closed.',
    next: 'Then the last changes are copied to the primary, which is opened.',
  }),
  DRAINING: ({ controller }) => ({
    tone: 'busy',
    title: 'Failback under way',
    meaning:
      controller.active === 'primary'
        ? 'New queries wait. The primary has everything and is being opened.'
        : 'New queries wait. The last changes are being copied to the primary and compared.',
    next:
      controller.active === 'primary'
        ? 'The primary is active in a moment.'
        : 'Then the primary is opened. If that takes too long, the secondary is opened again and nothing has changed.',
  }),
  MANUAL_REQUIRED: ({ controller }) => ({
    tone: 'bad',
    title: 'A person is needed',
    meaning: `The ${controller.active} is active and does not answer, and the other side cannot take its place by itself.`,
    next: 'Bring that database back: the controller goes on by itself as soon as it answers.',
  }),
};

const STREAM: Readonly<Record<StreamStatus, readonly [tone: SystemWords['tone'], title: string, meaning: string]>> = {
  starting: ['busy', 'The stream is starting', 'The connections to both databases are being made.'],
  standby: ['good', 'This process stands by', 'Another process leads the stream.'],
  snapshot: ['busy', 'Tables are being loaded', 'The secondary is not complete yet.'],
  streaming: ['good', 'The secondary follows the primary', 'Every change of the primary is applied.'],
  detached: ['good', 'The stream is detached', 'The application is idle, and the primary may sleep.'],
  paused: ['warning', 'The stream is paused', 'Changes wait in the slot.'],
  fenced: ['warning', 'The stream is fenced', 'The primary is not the active database, or another process leads.'],
  error: ['bad', 'The stream has stopped', 'It met something that it must not skip.'],
};

const AT_REST = {
  meaning: 'Nobody uses the primary, and nothing reaches it, so that it may sleep. The secondary has everything.',
  next: "The stream goes on with the application's next query. When that fails, the checks begin.",
};

const PAUSED = 'Automatic failover and failback are paused until somebody resumes them.';

export function systemWords(
  controller: ControllerView | null,
  stream: StreamView | null,
  settings: SystemSettings,
  resting = false,
): SystemWords {
  if (controller === null) return streamWords(stream);
  if (controller.state === 'STARTING')
    return {
      tone: 'busy',
      title: 'The state is not known yet',
      meaning: controller.secondary.error ?? 'The control row on the secondary was not read yet.',
      next: 'It is read as soon as the secondary answers.',
    };
  const found = STATES[controller.state]({ controller, settings });
  const words = resting && controller.state === 'PRIMARY_ACTIVE' ? { ...found, ...AT_REST } : found;
  const next = controller.paused ? PAUSED : words.next;
  // A stream that stands still is why a failover would lose something: it outweighs a healthy state.
  const trouble = words.tone === 'good' && stream !== null ? STREAM[stream.status] : null;
  if (trouble !== null && trouble[0] !== 'good')
    return {
      ...words,
      tone: trouble[0],
      meaning: `Applications work on the primary. ${trouble[1]}: ${lower(stream?.detail ?? trouble[2])}`,
      next,
    };
  return { ...words, tone: controller.paused && words.tone === 'good' ? 'warning' : words.tone, next };
}

function streamWords(stream: StreamView | null): SystemWords {
  const [tone, title, meaning] = STREAM[stream?.status ?? 'starting'];
  return {
    tone,
    title,
    meaning: stream?.detail ?? meaning,
    next: 'This process is the streamer; failover is the business of the controller, which runs elsewhere.',
  };
}

function lower(sentence: string): string {
  return /^[A-Z][a-z]/.test(sentence) ? sentence[0]?.toLowerCase() + sentence.slice(1) : sentence;
}
