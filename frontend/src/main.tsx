/** Opens the pages: words first, then who is asking, then the page that the address names. */

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./design/tokens.css";
import { Opening } from "./app/Opening";
import { openTranslations } from "./language/translation";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

await openTranslations();
createRoot(root).render(
  <StrictMode>
    <Opening />
  </StrictMode>,
);
