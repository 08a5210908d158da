/** Loads the file of a page. After a new deployment those that this document names are gone. */

import { tabMemory } from "./memory";

const KEPT = "weir.reloaded";

/** The file of a page did not come, also after the page was loaded anew. */
export class PageNotLoaded extends Error {}

/**
 * What `load` loads. When it cannot, the browser loads the page anew, once, and with it the names
 * that hold now; this never returns then. Throws PageNotLoaded.
 */
export async function pageFile<Page>(
  load: () => Promise<Page>,
  reload = () => window.location.reload(),
): Promise<Page> {
  let page: Page;
  try {
    page = await load();
  } catch (error) {
    const again = tabMemory.recall(KEPT) === null && (await serverAnswers());
    // Where the tab cannot remember it, it would go on for ever.
    if (!again || !tabMemory.keep(KEPT, "yes")) throw new PageNotLoaded("", { cause: error });
    reload();
    return await new Promise<never>(() => {});
  }
  tabMemory.keep(KEPT, null);
  return page;
}

/** Without an answer the browser would show a page of its own, from which nothing leads back. */
async function serverAnswers(): Promise<boolean> {
  try {
    const { ok } = await fetch(new URL("/", window.location.origin), { cache: "no-store" });
    return ok;
  } catch {
    return false;
  }
}
