import { expect, test } from "vitest";
import { type Point, trafficCsv, trafficOf } from "./series";

const at = (start: string, count: number, visitors = count): Point => ({ start, count, visitors });

test("both series share one axis of time, whatever offset their steps are written with", () => {
  const series = trafficOf(
    [at("2026-11-01T00:00:00+01:00", 5, 3), at("2026-11-02T00:00:00+01:00", 7, 4)],
    [at("2026-10-31T23:00:00Z", 1)],
  );
  expect(series.starts).toEqual([1793487600, 1793574000]);
  expect(series.views).toEqual([5, 7]);
  expect(series.visitors).toEqual([3, 4]);
  expect(series.conversions).toEqual([1, 0]);
});

test("a step that only conversions have is there, in its order", () => {
  const series = trafficOf(
    [at("2026-11-02T00:00:00Z", 2)],
    [at("2026-11-03T00:00:00Z", 4), at("2026-11-01T00:00:00Z", 9)],
  );
  expect(series.views).toEqual([0, 2, 0]);
  expect(series.conversions).toEqual([9, 0, 4]);
});

test("an hour that the clock shows twice is two steps", () => {
  const series = trafficOf(
    [at("2026-10-25T02:00:00+02:00", 1), at("2026-10-25T02:00:00+01:00", 2)],
    [],
  );
  expect(series.views).toEqual([1, 2]);
});

test("a step that is cut at the period's begin begins there", () => {
  const monday = Date.parse("2026-11-23T00:00:00Z") / 1000;
  const series = trafficOf(
    [at("2026-11-16T00:00:00Z", 3), at("2026-11-23T00:00:00Z", 5)],
    [],
    monday - 86_400,
  );
  expect(series.starts).toEqual([monday - 86_400, monday]);
  expect(series.views).toEqual([3, 5]);
});

test("of nothing there is nothing", () => {
  expect(trafficOf([], [])).toEqual({ starts: [], views: [], visitors: [], conversions: [] });
});

test("the file has what is drawn, from the period's begin on", async () => {
  const monday = Date.parse("2026-11-23T00:00:00Z") / 1000;
  const series = trafficOf(
    [at("2026-11-16T00:00:00Z", 3, 2), at("2026-11-23T00:00:00Z", 5, 4)],
    [at("2026-11-23T00:00:00Z", 1)],
    monday - 86_400,
  );
  const file = trafficCsv(series, (start) => new Date(start * 1000).toISOString());
  expect(await textOf(file)).toBe(
    "start,views,visitors,conversions\r\n" +
      "2026-11-22T00:00:00.000Z,3,2,0\r\n" +
      "2026-11-23T00:00:00.000Z,5,4,1\r\n",
  );
});

test("in the file a cell that would be read as more is quoted", async () => {
  const file = trafficCsv(
    trafficOf([at("2026-11-23T00:00:00Z", 3, 2)], []),
    () => 'a "day", or\ntwo',
  );
  expect(await textOf(file)).toContain('\r\n"a ""day"", or\ntwo",3,2,0\r\n');
});

/** jsdom's files do not tell their text themselves. */
function textOf(file: Blob): Promise<string> {
  return new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.readAsText(file);
  });
}
