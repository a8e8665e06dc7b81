/** Small pictures of numbers, drawn as SVG; the number itself always stands beside them. */

import { element, svg } from "./elements.js";

/** Draw a share of one as a bar under its text. */
export function share(value, text) {
  const width = Math.max(0, Math.min(1, value)) * 100;
  return element("span", { class: "share" }, text, bar(width));
}

function bar(width) {
  return svg(
    "svg",
    { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "ground", width: 100, height: 4 }),
    svg("rect", { class: "filled", width, height: 4 }),
  );
}
