/** Colours of tokens.css as a canvas takes them. */

/** The colour of a custom property in the theme that is shown. */
export function resolvedColour(property: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  probe.style.display = "none";
  document.body.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
