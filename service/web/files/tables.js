/** Tables that a screen reader can walk, and that scroll by themselves where they are too wide. */

import { element } from "./elements.js";

/**
 * Make a table.
 *
 * @param caption what it is a table of.
 * @param columns their headings; `{text, class}` where a column is special.
 * @param rows each an array of cells: text or nodes; the first heads its row.
 */
export function table(caption, columns, rows) {
  const kinds = columns.map((column) => column.class ?? "");
  const head = columns.map((column) => element("th", { scope: "col", class: column.class }, column.text ?? column));
  const body = rows.map((cells) => element("tr", {}, cells.map((content, place) => cell(content, place, kinds[place]))));
  return element(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    element(
      "table",
      {},
      element("caption", { class: "unseen" }, caption),
      element("thead", {}, element("tr", {}, head)),
      element("tbody", {}, body),
    ),
  );
}

function cell(content, place, kind) {
  const name = place === 0 ? "th" : "td";
  return element(name, { scope: place === 0 ? "row" : null, class: kind }, content);
}
