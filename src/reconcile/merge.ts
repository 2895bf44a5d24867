/** What one of two sorted lists has and the other has not, page by page: memory does not grow with the table. */

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
export async function* symmetricDifference(
  primary: AsyncIterator<NumberedRow>,
  secondary: AsyncIterator<NumberedRow>,
): AsyncGenerator<Lonely> {
  let [ours, theirs] = await Promise.all([primary.next(), secondary.next()]);
  while (!ours.done || !theirs.done) {
    const order = ours.done ? 1 : theirs.done ? -1 : compare(ours.value, theirs.value);
    if (order < 0 && !ours.done) {
      yield { side: 'primary', row: ours.value };
      ours = await primary.next();
    } else if (order > 0 && !theirs.done) {
      yield { side: 'secondary', row: theirs.value };
      theirs = await secondary.next();
    } else [ours, theirs] = await Promise.all([primary.next(), secondary.next()]);
  }
}

function compare(a: NumberedRow, b: NumberedRow): number {
  if (a.v !== b.v) return a.v < b.v ? -1 : 1;
  return a.w === b.w ? 0 : a.w < b.w ? -1 : 1;
}
