/** Which page each path shows. The server knows the same paths (api/pages/serving.py). */

import { lazy } from "react";
import { BrowserRouter, Route, Routes } from "react-router";
import { Dashboard } from "../dashboard/Dashboard";
import { PageFailed } from "./PageFailed";
import { PageMissing } from "./PageMissing";
import { pageFile } from "./page_files";
import { PATHS } from "./paths";
import { Shell } from "./Shell";

// Not the data router, which is 20 kB (gzip) more: TanStack Query asks for what pages show.
const SocialPage = lazy(async () => ({
  default: (await pageFile(() => import("../social/SocialPage"))).SocialPage,
}));
const PlanPage = lazy(async () => ({
  default: (await pageFile(() => import("../plan/PlanPage"))).PlanPage,
}));

export function Pages() {
  return (
    <BrowserRouter>
      <PageFailed>
        <Routes>
          <Route element={<Shell />}>
            <Route path={PATHS.dashboard} element={<Dashboard />} />
            <Route path={PATHS.social} element={<SocialPage />} />
            <Route path={PATHS.plan} element={<PlanPage />} />
            <Route path="*" element={<PageMissing />} />
          </Route>
        </Routes>
      </PageFailed>
    </BrowserRouter>
  );
}
