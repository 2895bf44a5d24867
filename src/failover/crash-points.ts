/**
 * Named places between any two effects, at which tests end the process without a word (DB_CRASH_AT, only where NODE_ENV
 * is test). In production the hook does nothing.
 */
export type CrashPoint = (name: string) => void;

export const noCrash: CrashPoint = () => undefined;

/** Places inside steps; entering a state adds `enter:<STATE>/<active>` before it and `entered:<STATE>/<active>` after. */
export const STEP_POINTS = [
  'close-primary:withdrawn',
  'close-primary:fenced',
  'close-primary:drained',
  'promote:fenced',
  'promote:held',
  'promote:noted',
  'promote:sequences',
  'promote:opened',
  'reopen-primary:opened',
  'settle-primary:standby-closed',
  'settle-primary:opened',
  'settle-primary:dropped',
  'settle-primary:finished',
  'settle-primary:released',
  'settle-secondary:held',
  'settle-secondary:opened',
  'recover:fenced',
  'close-secondary:withdrawn',
  'close-secondary:fenced',
  'drain:drained',
  'drain:handed-back',
  'reopen-secondary:opened',
  'open-primary:opened',
] as const;
export type StepPoint = (typeof STEP_POINTS)[number];
