/** The list of the queue. */

import { badge, element } from "./elements.js";
import { ago, number, percent } from "./numbers.js";
import { measureName } from "./policy.js";
import { labelsInShort } from "./tokens.js";

const STATES = { pending: ["waiting", "waits"], claimed: ["neutral", "claimed"], resolved: ["good", "resolved"] };

/**
 * Make the list.
 *
 * @param list as the server gave it.
 * @param current the identifier of the item that is looked at.
 * @param to gives an item's address.
 * @param more is called for more than are listed.
 */
export function itemList({ reviews, next_cursor: next }, current, to, more) {
  if (!reviews.length) return element("p", { class: "items empty" }, "Nothing here: no item is in this list.");
  const lines = reviews.map((review) => element("li", {}, link(review, review.id === current, to(review))));
  return element("div", { class: "items" }, element("ol", {}, lines), next === null ? null : rest(reviews, more));
}

/** Make the badge of an item's status. */
export function statusBadge(status) {
  return badge(...(STATES[status] ?? ["neutral", status]));
}

function link(review, current, href) {
  return element(
    "a",
    { href, "data-id": review.id, "aria-current": current ? "true" : null },
    element("span", { class: "line" }, element("strong", {}, answered(review)), statusBadge(review.status)),
    element("span", { class: "line quiet small" }, element("span", {}, review.model), element("span", {}, ago(review.created_at))),
    review.score === null ? null : element("span", { class: "quiet small" }, `${review.audit ? "audit, " : ""}${measureName(review.measure)} ${number(review.score)}`),
  );
}

/** Say in short what the model answered. */
export function answered({ prediction }) {
  if ("label" in prediction) return "confidence" in prediction ? `${prediction.label} (${percent(prediction.confidence)})` : prediction.label;
  if ("tokens" in prediction) return labelsInShort(prediction);
  return prediction.value.map((value) => number(value)).join(", ");
}

function rest(reviews, more) {
  if (reviews.length >= 200) return element("p", { class: "quiet small" }, `These are the first ${reviews.length}.`);
  return element("button", { type: "button", click: more }, "Show more");
}
