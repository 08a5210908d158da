/** Which part of a series is seen, and how it moves: never beyond the data, never to nothing. */

export interface Window {
  min: number;
  max: number;
}

/** Moved by a part of its own length: 0.1 to the later side, -0.1 to the earlier. */
export function panned(seen: Window, whole: Window, part: number): Window {
  const length = seen.max - seen.min;
  const min = Math.min(Math.max(seen.min + part * length, whole.min), whole.max - length);
  return { min, max: min + length };
}

/** `factor` below 1 shows less, around the place that stays where it is (0 to 1). */
export function zoomed(
  seen: Window,
  whole: Window,
  factor: number,
  place: number,
  shortest: number,
): Window {
  const before = seen.max - seen.min;
  const length = Math.min(Math.max(before * factor, shortest), whole.max - whole.min);
  const fixed = seen.min + place * before;
  const min = Math.min(Math.max(fixed - place * length, whole.min), whole.max - length);
  return { min, max: min + length };
}
