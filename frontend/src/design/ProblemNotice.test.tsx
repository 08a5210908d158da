import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { renderInEnglish } from "../../tests/translated";
import { Problem } from "../api/problem";
import { ProblemNotice } from "./ProblemNotice";

test.each([
  [new Problem(0, ""), true],
  [new Problem(429, ""), true],
  [new Problem(503, ""), true],
  [new TypeError("a bug"), true],
  [new Problem(403, ""), false],
  [new Problem(422, ""), false],
])("%o may be tried again: %s", (error, may) => {
  renderInEnglish(<ProblemNotice error={error} retry={() => {}} />);
  expect(screen.queryAllByRole("button", { name: "Try again" })).toHaveLength(may ? 1 : 0);
});
