/** Lines over time on a canvas: dragged, zoomed and read by mouse, finger and keyboard. */

import { useEffect, useLayoutEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { resolvedColour } from "./colours";
import { thinnedPaths } from "./thinned_paths";
import { panned, type Window, zoomed } from "./window";

export interface Line {
  name: string;
  values: readonly number[];
  /** A custom property of tokens.css, such as `--accent`. */
  colour: string;
  /** Its scale is on the right, as its values are of another size. */
  right?: boolean;
  area?: boolean;
  dashed?: boolean;
}

interface Props {
  /** Says what is seen; the table beside it has the numbers. */
  label: string;
  /** Seconds since 1970, ascending. */
  starts: readonly number[];
  lines: readonly Line[];
  timeZone: string;
  language: string;
  formatTime: (seconds: number) => string;
  formatValue: (value: number) => string;
  height?: number;
  /** The index of the step under the pointer, null without one. */
  onPoint?: (index: number | null) => void;
}

const STEPS_SEEN = 8;
const POINTS_UP_TO = 40;
/** Events are counted in whole numbers: 1, 2, 5, 10, and so on. */
const WHOLE_STEPS = Array.from({ length: 15 }, (_, power) =>
  [1, 2, 5].map((each) => each * 10 ** power),
).flat();
/** Seconds that are shown on either side of a single step. */
const ALONE = 1800;
const PAN_BY_KEY = 0.2;
const ZOOM_BY_KEY = 0.7;

export function TimeSeriesChart(props: Props) {
  const { label, starts, lines, timeZone, language, height = 260 } = props;
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const appearance = useAppearance();
  const look = lines
    .map((line) => `${line.name} ${line.colour} ${line.right} ${line.area} ${line.dashed}`)
    .join();

  // biome-ignore lint/correctness/useExhaustiveDependencies: data is handed over below
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return;
    const made = new uPlot(optionsOf(element, latest.current), dataOf(latest.current), element);
    chart.current = made;
    const stop = listen(made, () => wholeOf(latest.current.starts));
    const observer = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== made.width) made.setSize({ width, height: made.height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      stop();
      made.destroy();
      chart.current = null;
    };
  }, [look, timeZone, language, height, appearance]);

  useEffect(() => {
    const made = chart.current;
    if (made === null || made.data[0] === starts) return;
    // What is looked at stays in sight while new steps come.
    const before = wholeOf(made.data[0]);
    const { min, max } = made.scales.x ?? {};
    const seesAll = min === undefined || (min <= before.min && (max ?? 0) >= before.max);
    made.setData(dataOf({ starts, lines }), seesAll);
    if (!seesAll && min !== undefined && max !== undefined) made.setScale("x", { min, max });
  }, [starts, lines]);

  return (
    <div
      ref={place}
      dir="ltr"
      role="img"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrows pan it, plus and minus zoom
      tabIndex={0}
      className="min-w-0 touch-pan-y select-none overflow-hidden"
      style={{ height }}
      onKeyDown={(event) => {
        const made = chart.current;
        if (made !== null && byKey(made, event.key, wholeOf(starts))) event.preventDefault();
      }}
    />
  );
}

/** Changes when colours do: canvas knows nothing of custom properties. */
function useAppearance(): string {
  const [appearance, setAppearance] = useState(() => resolvedColour("--ink"));
  useEffect(() => {
    const look = () => setAppearance(resolvedColour("--ink"));
    const scheme = window.matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", look);
    const observer = new MutationObserver(look);
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      scheme.removeEventListener("change", look);
      observer.disconnect();
    };
  }, []);
  return appearance;
}

function dataOf({ starts, lines }: Pick<Props, "starts" | "lines">): uPlot.AlignedData {
  return [starts as number[], ...lines.map((line) => line.values as number[])];
}

function wholeOf(starts: ArrayLike<number>): Window {
  const min = starts[0] ?? 0;
  const max = starts[starts.length - 1] ?? 1;
  // A single step stands in the middle.
  return min < max ? { min, max } : { min: min - ALONE, max: max + ALONE };
}

function optionsOf(element: HTMLElement, props: Props): uPlot.Options {
  const { lines, timeZone, formatTime, height = 260 } = props;
  const soft = resolvedColour("--soft");
  const line = resolvedColour("--line");
  const axis: uPlot.Axis = {
    stroke: soft,
    font: "12px system-ui, sans-serif",
    grid: { stroke: line, width: 1 },
    ticks: { show: false },
  };
  const values = (_: uPlot, splits: number[]) => splits.map((each) => props.formatValue(each));
  const hasRight = lines.some((each) => each.right);
  return {
    width: Math.max(element.clientWidth, 120),
    height,
    padding: [12, hasRight ? 4 : 12, 0, 4],
    legend: { show: false },
    cursor: { drag: { x: false, y: false, setScale: false }, points: { size: 8 } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), timeZone),
    scales: {
      x: {
        time: true,
        range: (chart, min, max) => {
          if (min < max) return [min, max];
          const whole = wholeOf(chart.data[0]);
          return [whole.min, whole.max];
        },
      },
      y: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] },
      right: { range: (_, __, max) => [0, Math.max(1, max * 1.08)] },
    },
    axes: [
      { ...axis, grid: { show: false }, values: timeLabels(props), space: 70, size: 44 },
      { ...axis, values, incrs: WHOLE_STEPS, size: 46 },
      ...(hasRight
        ? [
            {
              ...axis,
              scale: "right",
              side: 1,
              values,
              incrs: WHOLE_STEPS,
              size: 46,
              grid: { show: false },
            },
          ]
        : []),
    ],
    series: [
      { value: (_, seconds) => (seconds === null ? "" : formatTime(seconds)) },
      ...lines.map((each): uPlot.Series => {
        const colour = resolvedColour(each.colour);
        return {
          label: each.name,
          scale: each.right ? "right" : "y",
          stroke: colour,
          paths: thinnedPaths,
          ...(each.dashed ? { dash: [6, 4] } : {}),
          points: { show: (chart) => chart.data[0].length < POINTS_UP_TO, size: 6, fill: colour },
          ...(each.area ? { fill: `color-mix(in srgb, ${colour} 14%, transparent)` } : {}),
        };
      }),
    ],
    hooks: {
      setCursor: [(made) => props.onPoint?.(made.cursor.idx ?? null)],
      setScale: [
        (made, scale) => {
          // What is seen, in seconds, for who cannot look at a canvas.
          const { min, max } = made.scales.x ?? {};
          if (scale === "x") element.dataset.seen = `${min} ${max}`;
        },
      ],
    },
  };
}

function timeLabels({ language, timeZone }: Props): uPlot.Axis.DynamicValues {
  const format = (options: Intl.DateTimeFormatOptions) =>
    new Intl.DateTimeFormat(language, { ...options, timeZone });
  const clock = format({ hour: "2-digit", minute: "2-digit" });
  const day = format({ month: "short", day: "numeric" });
  const month = format({ year: "numeric", month: "short" });
  return (_, splits, __, ___, step) => {
    const write = step < 86_400 ? clock : step < 28 * 86_400 ? day : month;
    return splits.map((seconds, index) => {
      const moment = new Date(seconds * 1000);
      const text = write.format(moment);
      if (write !== clock) return text;
      const before = splits[index - 1];
      const date = day.format(moment);
      const isNew = before === undefined || day.format(new Date(before * 1000)) !== date;
      return isNew ? `${text}\n${date}` : text;
    });
  };
}

function seen(chart: uPlot): Window {
  const { min, max } = chart.scales.x ?? {};
  return { min: min ?? 0, max: max ?? 1 };
}

function show(chart: uPlot, { min, max }: Window): void {
  chart.setScale("x", { min, max });
}

function shortestOf(whole: Window, steps: number): number {
  return ((whole.max - whole.min) / Math.max(steps - 1, 1)) * Math.min(STEPS_SEEN, steps - 1);
}

function byKey(chart: uPlot, key: string, whole: Window): boolean {
  const window = seen(chart);
  const shortest = shortestOf(whole, chart.data[0].length);
  const moved = () => {
    switch (key) {
      case "ArrowLeft":
        return panned(window, whole, -PAN_BY_KEY);
      case "ArrowRight":
        return panned(window, whole, PAN_BY_KEY);
      case "+":
        return zoomed(window, whole, ZOOM_BY_KEY, 0.5, shortest);
      case "-":
        return zoomed(window, whole, 1 / ZOOM_BY_KEY, 0.5, shortest);
      case "0":
        return whole;
      default:
        return null;
    }
  };
  const next = moved();
  if (next === null) return false;
  show(chart, next);
  return true;
}

/** Dragging pans, the wheel with Ctrl and pinching zoom, a double click shows all. */
function listen(chart: uPlot, whole: () => Window): () => void {
  const over = chart.over;
  let from: { x: number; window: Window } | null = null;
  const down = (event: PointerEvent) => {
    if (event.button !== 0) return;
    from = { x: event.clientX, window: seen(chart) };
    over.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent) => {
    if (from === null) return;
    const part = (from.x - event.clientX) / over.clientWidth;
    show(chart, panned(from.window, whole(), part));
  };
  const up = () => {
    from = null;
  };
  const wheel = (event: WheelEvent) => {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // A plain wheel scrolls the page.
    if (!event.ctrlKey && !event.metaKey && !sideways) return;
    event.preventDefault();
    const { left, width } = over.getBoundingClientRect();
    const window = seen(chart);
    show(
      chart,
      sideways
        ? panned(window, whole(), event.deltaX / width)
        : zoomed(
            window,
            whole(),
            event.deltaY < 0 ? 0.85 : 1 / 0.85,
            (event.clientX - left) / width,
            shortestOf(whole(), chart.data[0].length),
          ),
    );
  };
  const all = () => show(chart, whole());
  over.addEventListener("pointerdown", down);
  over.addEventListener("pointermove", move);
  over.addEventListener("pointerup", up);
  over.addEventListener("pointercancel", up);
  over.addEventListener("wheel", wheel, { passive: false });
  over.addEventListener("dblclick", all);
  return () => {
    over.removeEventListener("pointerdown", down);
    over.removeEventListener("pointermove", move);
    over.removeEventListener("pointerup", up);
    over.removeEventListener("pointercancel", up);
    over.removeEventListener("wheel", wheel);
    over.removeEventListener("dblclick", all);
  };
}
