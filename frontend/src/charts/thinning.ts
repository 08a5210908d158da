/** Fewer points that look the same: of each column of pixels the least and the greatest value. */

export interface Columns {
  /** Columns that have values, ascending. */
  column: number[];
  least: number[];
  greatest: number[];
}

/**
 * The extremes of the values from `first` to `last`, both inclusive, by columns of equal width over
 * [min, max] of `starts`. What is beyond lies in the columns at the ends.
 */
export function extremesOf(
  starts: ArrayLike<number>,
  values: ArrayLike<number>,
  first: number,
  last: number,
  { min, max, columns }: { min: number; max: number; columns: number },
): Columns {
  const found: Columns = { column: [], least: [], greatest: [] };
  const factor = columns / (max - min);
  let at = -1;
  let place = -1;
  for (let index = first; index <= last; index += 1) {
    const value = values[index] as number;
    const start = starts[index] as number;
    const column = Math.min(Math.max(Math.floor((start - min) * factor), 0), columns - 1);
    if (column !== at) {
      at = column;
      place += 1;
      found.column[place] = column;
      found.least[place] = value;
      found.greatest[place] = value;
    } else if (value < (found.least[place] as number)) found.least[place] = value;
    else if (value > (found.greatest[place] as number)) found.greatest[place] = value;
  }
  return found;
}
