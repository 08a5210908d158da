/** Draws a line with as many points as can be seen: so 100,000 pan without a stutter. */

import uPlot from "uplot";
import { extremesOf } from "./thinning";

const COLUMN_PIXELS = 2;
const WIDTH = 2;
/** Of lines that go up and down in each column: thicker ones fill the chart, and take half a frame. */
const DENSE_WIDTH = 1;
const linear = uPlot.paths.linear?.();

export const thinnedPaths: uPlot.Series.PathBuilder = (chart, line, first, last) => {
  const { left, width } = chart.bbox;
  const columns = Math.floor(width / COLUMN_PIXELS);
  const dense = last - first >= columns;
  const series = chart.series[line];
  // Read when the line is drawn, after its path is made.
  if (series !== undefined) series.width = dense ? DENSE_WIDTH : WIDTH;
  if (linear === undefined || !dense) {
    return linear?.(chart, line, first, last) ?? null;
  }
  const { min = 0, max = 1 } = chart.scales.x ?? {};
  const scale = series?.scale ?? "y";
  const values = chart.data[line] as ArrayLike<number>;
  const { column, least, greatest } = extremesOf(chart.data[0], values, first, last, {
    min: min ?? 0,
    max: max ?? 1,
    columns,
  });
  // The axis is linear: two places say all others.
  const zero = chart.valToPos(0, scale, true);
  const one = chart.valToPos(1, scale, true) - zero;
  const stroke = new Path2D();
  let rising = true;
  for (let index = 0; index < column.length; index += 1) {
    const x = left + ((column[index] as number) + 0.5) * COLUMN_PIXELS;
    const low = zero + (least[index] as number) * one;
    const high = zero + (greatest[index] as number) * one;
    // To and fro, so that no line leads back.
    const from = rising ? low : high;
    const to = rising ? high : low;
    if (index === 0) stroke.moveTo(x, from);
    else stroke.lineTo(x, from);
    if (from !== to) stroke.lineTo(x, to);
    rising = !rising;
  }
  const fill = new Path2D(stroke);
  const x = (place: number) => left + ((column[place] ?? 0) + 0.5) * COLUMN_PIXELS;
  fill.lineTo(x(column.length - 1), zero);
  fill.lineTo(x(0), zero);
  fill.closePath();
  return { stroke, fill };
};
