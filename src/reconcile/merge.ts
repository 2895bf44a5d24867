/** What one of two sorted lists has and the other has not. */

/** A row as two numbers and the texts of its key; sorted by the numbers. */
export interface NumberedRow {
  readonly v: bigint;
  readonly w: bigint;
  readonly key: readonly string[];
}

export interface Lonely {
  readonly side: 'primary' | 'secondary';
  readonly row: NumberedRow;
}

/** As multisets: of rows with equal numbers the surplus remains. */
export function* symmetricDifference(
  primary: readonly NumberedRow[],
  secondary: readonly NumberedRow[],
): Generator<Lonely> {
  let [i, j] = [0, 0];
  for (;;) {
    const [ours, theirs] = [primary[i], secondary[j]];
    if (!ours && !theirs) return;
    const order = !ours ? 1 : !theirs ? -1 : compare(ours, theirs);
    if (ours && order < 0) yield { side: 'primary', row: ours };
    if (theirs && order > 0) yield { side: 'secondary', row: theirs };
    if (order <= 0) i += 1;
    if (order >= 0) j += 1;
  }
}

function compare(a: NumberedRow, b: NumberedRow): number {
  if (a.v !== b.v) return a.v < b.v ? -1 : 1;
  return a.w === b.w ? 0 : a.w < b.w ? -1 : 1;
}
