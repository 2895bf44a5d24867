/** How the values of a type are brought to one text on both sides, and how such texts are strung together. */

export interface Form {
  /** SQL of the text from SQL of the value; NULL for NULL. The value may stand in it several times. */
  readonly primary: (value: string) => string;
  readonly secondary: (value: string) => string;
  /**
   * What the texts hold: `plain` is never empty and has no comma, `marked` has no control character (chr(1), chr(2)),
   * `any` can be anything.
   */
  readonly pieces: 'plain' | 'marked' | 'any';
  /** Why one value may have two texts; null when it has one. Two values never share a text. */
  readonly doubt: string | null;
}

/** One value so that it can be told from its neighbours and from NULL, whatever they are: SQL of both databases. */
export function piece(text: string, pieces: Form['pieces']): string {
  if (pieces === 'plain') return `coalesce(${text}, '') || ','`;
  if (pieces === 'marked') return `coalesce(${text}, chr(2)) || chr(1)`;
  return `coalesce(length(${text})::text || ':' || (${text}), '-')`;
}
