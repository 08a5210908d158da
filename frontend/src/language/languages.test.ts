import { expect, test } from "vitest";
import { formatsOf } from "./formats";
import { bestOf } from "./languages";

test("the first wanted language that there is, else English", () => {
  expect(bestOf(["it-IT", "de-AT", "fr"])).toBe("de");
  expect(bestOf(["pt-BR"])).toBe("en");
  expect(bestOf([])).toBe("en");
});

test("an amount is written exactly, as long as it is", () => {
  expect(formatsOf("en").money("90071992547409.93", "usd")).toBe("$90,071,992,547,409.93");
  expect(formatsOf("en").money("0.0025", "usd")).toBe("$0.0025");
  expect(formatsOf("de").money("19.00", "usd")).toBe("19,00\u00a0$");
});
