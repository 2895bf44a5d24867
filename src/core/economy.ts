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
