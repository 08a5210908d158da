import { screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { renderInEnglish } from "../../tests/translated";
import { BarTable } from "./BarTable";
import { barsOf } from "./bars";

test("what is shown as it was counted begins at the left, what has a word where words do", () => {
  const counted = { count: 3, visitors: 2 };
  renderInEnglish(
    <BarTable
      caption="Top"
      valueTitle="Value"
      countTitle="Views"
      bars={barsOf(
        [
          { value: "/a-path", ...counted },
          { value: "DE", ...counted },
        ],
        6,
      )}
      nameOf={(value) => (value === "DE" ? "Germany" : value)}
    />,
  );
  expect(screen.getByText("/a-path")).toHaveAttribute("dir", "ltr");
  expect(screen.getByText("Germany")).not.toHaveAttribute("dir");
  expect(screen.getByRole("row", { name: /\/a-path 3 50%/ })).toBeInTheDocument();
});
