/** Economy mode (SPEC section 12): whether anything of ours may reach the primary now. docs/decisions/0010-economy-mode.md */

/**
 * - awake: the primary is used, or was lately;
 * - resting: nobody uses it, and nothing of ours may reach it;
 * - elsewhere: another controller leads, and the stream is its process's affair.
 */
export type RestMode = 'awake' | 'resting' | 'elsewhere';

/** What counts as use of the primary, or as a reason to go there. */
export type Stir =
  | 'start'
  | 'application'
  | 'failure'
  | 'changes'
  | 'order'
  | 'visit'
  | 'neon'
  | 'lead'
  | 'controller'
  | 'controller-silent';

/** Times are monotonic milliseconds. */
export interface PrimaryRest {
  readonly mode: RestMode;
  /** The primary may be contacted. */
  readonly awake: boolean;
  /** When the primary was last used, or had to be; null: nobody keeps count. */
  readonly lastActivityMs: number | null;
  /** The primary is used, or was at `atMs`; what is older than the present rest is no news. */
  stir(why: Stir, atMs?: number): void;
  /** Asked before a rest begins: why not, or null. */
  addObjection(objection: () => string | null): void;
  /** Calls the listener after each change of the mode, until the function that comes back is called. */
  onChange(listener: (mode: RestMode) => void): () => void;
}

/** Without economy mode. */
export const ALWAYS_AWAKE: PrimaryRest = {
  mode: 'awake',
  awake: true,
  lastActivityMs: null,
  stir: () => undefined,
  addObjection: () => undefined,
  onChange: () => () => undefined,
};

/** Economy mode for status and dashboard. */
export interface RestView {
  readonly mode: RestMode;
  /** ISO 8601; when the mode began. */
  readonly since: string;
  /** What ended the last rest; null before the first. */
  readonly wokenBy: Stir | null;
  readonly rests: number;
  readonly restedSeconds: number;
}

/** The primary's endpoint by Neon's API; the state is null while it was not asked, or has not answered. */
export interface NeonView {
  readonly state: 'init' | 'active' | 'idle' | 'disabled' | null;
  /** ISO 8601 */
  readonly checkedAt: string | null;
  /** Why it could not be asked. */
  readonly problem: string | null;
}

/** Classes of work on the secondary with an estimate of their own. */
export const UNIT_CLASSES = [
  'metadata-read',
  'metadata-write',
  'statement',
  'change',
  'load',
  'sweep',
  'verify',
] as const;
export type UnitClass = (typeof UNIT_CLASSES)[number];

/** One resource of a provider over a calendar month (UTC). */
export interface BudgetLine {
  readonly used: number;
  /** At the end of the month, if it goes on like this; null while too little is known. */
  readonly projected: number | null;
  readonly budget: number;
  readonly exceeded: boolean;
}

export interface BudgetView {
  /** 2026-11 */
  readonly month: string;
  /** ISO 8601; what is older was not counted. */
  readonly since: string;
  /** Of the secondary, by estimate. */
  readonly requestUnits: BudgetLine & { readonly byClass: Readonly<Partial<Record<UnitClass, number>>> };
  /** Compute-hours of the primary at its smallest size; null where this process does not see it. */
  readonly computeHours: (BudgetLine & { readonly awakeHours: number }) | null;
  /** Sweep and verify come more seldom, because a projection exceeds its budget. */
  readonly slowed: boolean;
}

/** `GET /api/system/economy`, and a part of the status. */
export interface EconomyView {
  /** Null: economy mode is off. */
  readonly rest: (RestView & { readonly lastWakeSeconds: number | null }) | null;
  /** Null: Neon's API is not asked. */
  readonly neon: NeonView | null;
  readonly budget: BudgetView | null;
}
