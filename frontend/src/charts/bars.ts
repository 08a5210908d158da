/** Bars of counted values: how long each is, and what part of all it has. */

export interface Counted {
  value: string;
  count: number;
  visitors: number;
}

export interface Bar extends Counted {
  /** Of the longest bar, 0 to 1. */
  length: number;
  /** Of all that was counted, 0 to 1. */
  share: number;
}

/**
 * `all`: how many events there are, listed or not; of them the shares are. One that is not known,
 * or was asked for before the last ones came, gives way to the values' own sum.
 */
export function barsOf(items: readonly Counted[], all: number): Bar[] {
  const longest = items.reduce((most, item) => Math.max(most, item.count), 0);
  const sum = Math.max(
    all,
    items.reduce((sum, item) => sum + item.count, 0),
  );
  return items.map((item) => ({
    ...item,
    length: longest > 0 ? item.count / longest : 0,
    share: sum > 0 ? item.count / sum : 0,
  }));
}
