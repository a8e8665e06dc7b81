/** One item: what went in, what came out, why it is here, and what a person says. */

import { described, element } from "./elements.js";
import { drawn } from "./input.js";
import { answered, statusBadge } from "./item_list.js";
import { ago, number } from "./numbers.js";
import { probabilities } from "./probabilities.js";
import { ofTokens, tokens } from "./tokens.js";
import { values } from "./values.js";
import { verdict } from "./verdict.js";
import { why } from "./why.js";

/**
 * Make the pane of an item: `{node, keys, focus}`.
 *
 * @param item the review, and its model where that is known.
 * @param page `{go, refresh}`.
 */
export function itemPane({ review, model }, page) {
  const decision = verdict(review, model, page);
  const labels = model?.output.labels ?? [];
  const found = shown(review, labels);
  const node = element(
    "article",
    { "data-review": review.id },
    element("p", { class: "quiet small over" }, `${review.model}, version ${review.version} · `, ago(review.created_at), " ", statusBadge(review.status)),
    element("h2", { class: "answer" }, review.task === "regression" ? "The model expects " : "The model says ", element("strong", {}, answered(review))),
    element("section", { class: "why", "aria-label": "Why it is here" }, why(review, labels)),
    element(
      "div",
      { class: "sides" },
      element("section", {}, element("h3", {}, "Input"), ...drawn(review.input, model?.inputs ?? [])),
      found.length ? element("section", {}, ...found) : null,
    ),
    decision.node,
    details(review),
  );
  return { node, keys: decision.keys, focus: decision.focus };
}

function shown(review, labels) {
  if (ofTokens(review)) return tokens(review);
  if (review.statistics === null) return [];
  return review.task === "classification" ? probabilities(review, labels) : values(review);
}

function details(review) {
  const { statistics, policy_id: policy, request_id: request, row, id, input_sha256: hash } = review;
  const numbers = Object.entries(statistics ?? {}).filter(([, value]) => typeof value === "number");
  return element(
    "details",
    {},
    element("summary", {}, "All about this row"),
    element(
      "dl",
      { class: "facts" },
      described("Review", element("code", {}, id)),
      described("Request", element("code", {}, request), `, row ${row}`),
      described("Policy", element("code", {}, policy)),
      hash === null ? null : described("Input's SHA-256", element("code", { title: hash }, hash.slice(0, 16))),
      numbers.map(([name, value]) => described(name.replaceAll("_", " "), name === "seed" ? String(value) : number(value, 4))),
    ),
  );
}
