/** A chart of 100,000 steps, for `make bench` to pan. */

import { createRoot } from "react-dom/client";
import { TimeSeriesChart } from "../src/charts/TimeSeriesChart";
import "../src/design/tokens.css";

const STEPS = 100_000;
const MINUTE = 60;

// The same noise each time: a generator with a seed (Park and Miller).
let state = 1;
function noise(): number {
  state = (state * 48_271) % 2_147_483_647;
  return state / 2_147_483_647;
}

const starts = Array.from({ length: STEPS }, (_, index) => 1_780_000_000 + index * MINUTE);
const views = starts.map((_, index) =>
  Math.round(400 + 300 * Math.sin(index / 230) + 90 * noise()),
);
const visitors = views.map((value) => Math.round(value * (0.6 + 0.2 * noise())));
const conversions = views.map((value) => Math.round(value * 0.04 * noise()));

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <TimeSeriesChart
      label="A long series"
      starts={starts}
      lines={[
        { name: "Views", values: views, colour: "--accent", area: true },
        { name: "Visitors", values: visitors, colour: "--third", dashed: true },
        { name: "Conversions", values: conversions, colour: "--second", right: true },
      ]}
      timeZone="Europe/Berlin"
      language="en"
      formatTime={String}
      formatValue={String}
    />,
  );
}
