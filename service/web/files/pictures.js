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

/** Draw a probability with its standard deviation, from 0 to 1. */
export function spread(mean, deviation) {
  const [left, right] = [Math.max(0, mean - deviation) * 100, Math.min(1, mean + deviation) * 100];
  return svg(
    "svg",
    { class: "spread", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { class: "ground", width: 100, height: 12 }),
    svg("rect", { class: "filled", width: mean * 100, height: 12 }),
    svg("path", { class: "whisker", d: `M${left} 6 H${right} M${left} 3 V9 M${right} 3 V9` }),
  );
}
