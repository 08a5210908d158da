// Before the first paint: whoever chose a theme sees no flash of the other one.
try {
  const chosen = localStorage.getItem("weir.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Without storage the system's theme holds.
}
