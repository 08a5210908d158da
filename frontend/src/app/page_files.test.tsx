import { screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { lazy, type ReactElement } from "react";
import { Route, Routes, useNavigate } from "react-router";
import { beforeEach, expect, test, vi } from "vitest";
import { answering, json, unreachable } from "../../tests/answers";
import { planDocument } from "../../tests/documents";
import { renderInEnglish } from "../../tests/translated";
import { SessionContext } from "../identity/session_context";
import { PageNotLoaded, pageFile } from "./page_files";
import { Shell } from "./Shell";

const gone = () => Promise.reject(new TypeError("Failed to fetch dynamically imported module"));
const settled = () => new Promise((resolve) => setTimeout(resolve));

beforeEach(() => sessionStorage.clear());

test("a file that is gone loads the page anew, once", async () => {
  answering({ "GET /": json({}) });
  const reload = vi.fn();
  void pageFile(gone, reload);
  await vi.waitFor(() => expect(reload).toHaveBeenCalledOnce());
  await expect(pageFile(gone, reload)).rejects.toThrow(PageNotLoaded);
  expect(reload).toHaveBeenCalledOnce();
});

test("after a file came, the next one that is gone does so again", async () => {
  answering({ "GET /": json({}) });
  const reload = vi.fn();
  void pageFile(gone, reload);
  await vi.waitFor(() => expect(reload).toHaveBeenCalledOnce());
  expect(await pageFile(async () => "a page", reload)).toBe("a page");
  void pageFile(gone, reload);
  await vi.waitFor(() => expect(reload).toHaveBeenCalledTimes(2));
});

test("without a server, or where the tab remembers nothing, the page stays", async () => {
  const { routes } = answering({ "GET /": unreachable });
  const reload = vi.fn();
  await expect(pageFile(gone, reload)).rejects.toThrow(PageNotLoaded);
  routes["GET /"] = json({});
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("not here");
  });
  await expect(pageFile(gone, reload)).rejects.toThrow(PageNotLoaded);
  await settled();
  expect(reload).not.toHaveBeenCalled();
});

function Breaks(): ReactElement {
  throw new Error("a bug");
}

function Narrowed() {
  const navigate = useNavigate();
  return (
    <button type="button" onClick={() => void navigate("/?range=30d")}>
      Narrow
    </button>
  );
}

function inShell(path: string) {
  answering({ "GET /api/user/plan": json(planDocument(97)) });
  const Missing = lazy(() => pageFile<{ default: () => ReactElement }>(gone));
  const settings = { sign_in: "none" as const, authority: null, client_id: null, scope: null };
  renderInEnglish(
    <SessionContext value={{ settings: { ...settings, site: null }, signOut: null }}>
      <Routes>
        <Route element={<Shell />}>
          <Route path="/" element={<Narrowed />} />
          <Route path="/social-generator" element={<Missing />} />
          <Route path="/plan" element={<Breaks />} />
        </Route>
      </Routes>
    </SessionContext>,
    path,
  );
}

test.each([
  ["/social-generator", "This page could not be loaded"],
  ["/plan", "Something unexpected happened"],
])("a page that fails (%s) leaves the way to the others", async (path, words) => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  inShell(path);
  expect(await screen.findByText(words)).toBeInTheDocument();
  expect(screen.getByRole("main")).toContainElement(screen.getByRole("alert"));
  await userEvent.click(screen.getByRole("link", { name: "Dashboard" }));
  expect(screen.getByRole("button", { name: "Narrow" })).toBeInTheDocument();
  expect(screen.queryByRole("alert")).toBeNull();
});

test("who comes back to the dashboard finds it as it was", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  inShell("/");
  await userEvent.click(screen.getByRole("button", { name: "Narrow" }));
  await userEvent.click(screen.getByRole("link", { name: "Plan" }));
  expect(screen.getByRole("link", { name: "Dashboard" })).toHaveAttribute("href", "/?range=30d");
  expect(screen.getByRole("link", { name: "Weir" })).toHaveAttribute("href", "/?range=30d");
});
