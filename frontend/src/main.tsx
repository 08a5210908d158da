/** Opens the pages: words first, then who is asking, then the page that the address names. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./design/tokens.css";
import { showNotOpened } from "./app/not_opened";
import { Opening } from "./app/Opening";
import { followTheme } from "./app/theme";
import { openTranslations } from "./language/translation";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

followTheme();
try {
  await openTranslations();
  createRoot(root).render(
    <StrictMode>
      <Opening />
    </StrictMode>,
  );
} catch {
  showNotOpened(root);
}
