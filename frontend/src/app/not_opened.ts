/** Says that the pages cannot be opened, with nothing that would have to be loaded for it. */

export function showNotOpened(root: HTMLElement): void {
  const main = document.createElement("main");
  main.className = "mx-auto flex max-w-2xl flex-col items-start gap-3 p-6";
  const words = document.createElement("p");
  words.setAttribute("role", "alert");
  words.textContent = "Weir could not be loaded. Check your connection, then load the page again.";
  const again = document.createElement("button");
  again.type = "button";
  again.className = "min-h-10 rounded-lg border border-edge px-3.5";
  again.textContent = "Load again";
  again.addEventListener("click", () => window.location.reload());
  main.append(words, again);
  root.replaceChildren(main);
}
